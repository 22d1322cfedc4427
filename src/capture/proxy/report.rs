//! How the two sides of a TLS connection were brought together. In: what the hand-shakes negotiated and showed. Out: a
//! [`HandOff`], and its lines for people and for the comments of recorded packets.

use std::fmt;

/// One side's half of a hand-off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Half {
    /// Version, suite, group and protocol, as far as it got.
    pub negotiated: String,
    /// The certificate that the side showed us.
    pub presented: Option<Certificate>,
    /// The certificate that we showed it.
    pub shown: Option<Certificate>,
    /// Whether that one mirrors the other side's; else it was supplied.
    pub mirrored: bool,
}

/// What there is to say about a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Alternative names.
    pub names: Vec<String>,
    /// Key type.
    pub key: String,
    /// When it is valid: from, to.
    pub validity: [String; 2],
    /// Serial number.
    pub serial: String,
}

/// Why it came to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Who refused: "the KM", "the controller" or "the proxy".
    pub who: String,
    /// Whom.
    pub whom: String,
    /// The alert.
    pub alert: Option<String>,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandOff {
    /// The name that the TLS client asked for.
    pub server_name: Option<String>,
    /// Which side is the TLS client: "KM" or "controller".
    pub client: String,
    /// The KM's half.
    pub km: Half,
    /// The controller's half.
    pub controller: Half,
    /// In what the halves, or a certificate and its mirror, differ.
    pub differs: Vec<String>,
    /// Why it failed, if it did.
    pub refusal: Option<Refusal>,
}

impl HandOff {
    /// The report, a line for each thing.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let name = self.server_name.as_ref().map(|name| format!(", which asks for {name}")).unwrap_or_default();
        lines.push(format!("TLS client: {}{name}", self.client));
        for (who, half) in [("KM", &self.km), ("controller", &self.controller)] {
            if !half.negotiated.is_empty() {
                lines.push(format!("{who}: {}", half.negotiated));
            }
            if let Some(certificate) = &half.presented {
                lines.push(format!("{who} presented: {certificate}"));
            }
            if let Some(certificate) = &half.shown {
                let how = if half.mirrored { "mirrored" } else { "supplied" };
                lines.push(format!("{who} was shown ({how}): {certificate}"));
            }
        }
        lines.extend(self.differs.iter().map(|difference| format!("differs: {difference}")));
        lines.extend(self.refusal.as_ref().map(|refusal| format!("refused: {refusal}")));
        lines
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, names, key, issuer, validity: [from, to], serial } = self;
        write!(f, "{subject}; names {}; {key}; ", names.join(", "))?;
        write!(f, "valid {from} to {to}; serial {serial}; signed by {issuer}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused {}: {}", self.who, self.whom, self.why)?;
        if let Some(alert) = &self.alert {
            write!(f, " (alert {alert})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}
