//! Who is believed, and who is shown to whom. In: files. Out: [`Identities`], or why TLS is not opened.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;

use super::authority::Authority;
use super::mint::{Leaf, Mint};
use super::refusals::reason;
use super::secrets::KeyLogFile;
use super::verify::Judge;
use super::{Options, Party, Trust, about, now, pem, possession, stale};
use crate::time::Timestamp;

/// See the module.
#[derive(Debug)]
pub struct Identities {
    /// What speaks TLS.
    pub provider: Arc<CryptoProvider>,
    /// Where secrets go.
    pub key_log: Option<Arc<KeyLogFile>>,
    mint: Option<Mint>,
    km: Side,
    controller: Side,
}

#[derive(Debug)]
struct Side {
    /// None believes everyone.
    judge: Option<Judge>,
    shown: Option<Arc<CertifiedKey>>,
}

impl Identities {
    /// Reads what the options name. Without an authority and certificates there is nothing to open TLS with. Also
    /// gives what the user should be warned of.
    ///
    /// # Errors
    /// A file cannot be read, or something is missing.
    pub fn read(options: &Options) -> io::Result<(Option<Self>, Vec<String>)> {
        if options.ca.is_none() && options.km.shown.is_none() && options.controller.shown.is_none() {
            let text = "TLS is passed on unopened, for want of --ca DIR; ckscope ca init DIR makes an authority";
            return Ok((None, vec![text.to_owned()]));
        }
        let mint = options.ca.as_deref().map(Authority::read).transpose()?.map(Mint::new);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let revoked = pem::revocations(&options.revoked)?;
        let side = |trust: &Trust, party: Party| Side::read(trust, party, options.ca.is_some(), &provider, &revoked);
        let (km, controller) = (side(&options.km, Party::Km)?, side(&options.controller, Party::Controller)?);
        let unverified =
            [(&km, "KM"), (&controller, "controller")].into_iter().filter(|(side, _)| side.judge.is_none());
        let warnings = unverified.map(|(_, who)| format!("any certificate of the {who} is believed: none is verified"));
        let mut warnings: Vec<String> = warnings.collect();
        let key_log = options.key_log.as_deref().map(KeyLogFile::open).transpose()?.map(Arc::new);
        let identities = Self { provider, key_log, mint, km, controller };
        warnings.extend(identities.stale(options, &revoked, now()));
        Ok((Some(identities), warnings))
    }

    /// What was given and will not do what it is for.
    fn stale(
        &self,
        options: &Options,
        revoked: &[CertificateRevocationListDer<'static>],
        now: Timestamp,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (Some(mint), Some(directory)) = (&self.mint, &options.ca) {
            let file = directory.display().to_string();
            warnings.extend(stale::certificate(&file, &mint.authority.certificate, "everyone", now));
        }
        for (side, trust, party) in
            [(&self.km, &options.km, Party::Km), (&self.controller, &options.controller, Party::Controller)]
        {
            if let (Some(shown), Some((file, _))) = (&side.shown, &trust.shown) {
                let leaf = &shown.cert[0]; // who has a key has a certificate
                warnings.extend(stale::certificate(&file.display().to_string(), leaf, party.the(), now));
            }
        }
        let judges = [&self.km, &self.controller].into_iter().filter_map(|side| side.judge.as_ref());
        let authorities: Vec<_> = judges.flat_map(Judge::authorities).collect();
        warnings.extend(revoked.iter().filter_map(|list| stale::list(list, &authorities, now)));
        warnings
    }

    fn side(&self, party: Party) -> &Side {
        match party {
            Party::Km => &self.km,
            Party::Controller => &self.controller,
        }
    }

    /// Who judges this party's certificate.
    pub fn judge(&self, party: Party) -> Option<Judge> {
        self.side(party).judge.clone()
    }

    /// The certificate that this party is shown whatever the other shows.
    pub fn supplied(&self, party: Party) -> Option<Arc<CertifiedKey>> {
        self.side(party).shown.clone()
    }

    /// The mirror of the other party's certificate.
    ///
    /// # Errors
    /// It cannot be mirrored.
    pub fn mirror(&self, original: &CertificateDer<'_>) -> io::Result<Leaf> {
        let none = || io::Error::other("there is no authority to mint from");
        self.mint.as_ref().ok_or_else(none)?.mirror(original)
    }
}

impl Side {
    fn read(
        trust: &Trust,
        party: Party,
        mints: bool,
        provider: &Arc<CryptoProvider>,
        revoked: &[CertificateRevocationListDer<'static>],
    ) -> io::Result<Self> {
        let (who, other) = match party {
            Party::Km => ("km", "controller"),
            Party::Controller => ("controller", "km"),
        };
        if trust.shown.is_none() && !mints {
            let text = format!("nothing to show {}: give --ca DIR, or --{other}-cert and --{other}-key", party.the());
            return Err(io::Error::other(text));
        }
        let judge = match &trust.authorities {
            Some(path) => {
                Some(Judge::new(provider, &pem::certificates(path)?, revoked).map_err(|error| about(path, error))?)
            }
            None if trust.unverified => None,
            None => {
                let text = format!(
                    "which authority of {}'s certificates to believe? give --{who}-ca FILE, or --no-verify-{who}",
                    party.the()
                );
                return Err(io::Error::other(text));
            }
        };
        let shown = trust.shown.as_ref().map(|(certificate, key)| supplied(certificate, key, provider)).transpose()?;
        Ok(Self { judge, shown })
    }
}

fn supplied(certificate: &Path, key: &Path, provider: &CryptoProvider) -> io::Result<Arc<CertifiedKey>> {
    let chain = pem::certificates(certificate)?;
    let private = provider.key_provider.load_private_key(pem::private_key(key)?).map_err(|_| {
        about(
            key,
            "no key that can be used; expected RSA, ECDSA (P-256, P-384, P-521) or Ed25519, in PKCS#1, SEC1 or PKCS#8",
        )
    })?;
    let own = possession::public_key(&chain[0]).map_err(|error| about(certificate, reason(&error)))?;
    if private.public_key().is_some_and(|key| key != own) {
        return Err(about(key, format!("is not the key of {}", certificate.display())));
    }
    Ok(Arc::new(CertifiedKey::new(chain, private)))
}
