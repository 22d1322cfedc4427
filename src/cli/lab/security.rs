//! `ckscope lab controller|km`: how Ck travels, from what was typed.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{ArgGroup, Args};
use rustls::KeyLog;

use crate::lab::pki::{self, Identity, Keys, Subject};
use crate::lab::run::{Tls, now};
use crate::lab::setup::Binding;
use crate::lab::tls::{Clock, Secrets, Terms, Version};
use crate::lab::topology::Topology;

/// How Ck travels.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("identity").args(["pki", "key"]))]
pub(super) struct Security {
    /// How to speak Ck. Over gRPC either side dials the other.
    #[arg(long, value_enum, default_value_t)]
    pub binding: Binding,
    /// Speak TLS, with certificates on both sides.
    #[arg(long, value_enum, value_name = "VERSION", requires = "identity")]
    tls: Option<Version>,
    /// Take the certificates from DIR; what is not there is made.
    #[arg(long, value_name = "DIR", requires = "tls")]
    pki: Option<PathBuf>,
    /// What is behind certificates that are made.
    #[arg(long, value_enum, default_value_t, requires = "pki")]
    keys: Keys,
    /// The authority to believe, in PEM; with --pki, beside that of DIR: the proxy's.
    #[arg(long, value_name = "FILE", requires = "identity")]
    ca: Option<PathBuf>,
    /// The certificate to show, in PEM, with the chain that leads to its authority.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key, in PEM.
    #[arg(long, value_name = "FILE", requires_all = ["tls", "ca", "cert"])]
    key: Option<PathBuf>,
    /// The name expected in the certificate of whoever is dialled [default: the name that --pki gives it].
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,
    /// Append the secrets to FILE, as an NSS key log.
    #[arg(long, value_name = "FILE", requires = "tls")]
    keylog: Option<PathBuf>,
}

impl Security {
    /// What TLS needs, if it is spoken. `dialled`: for each address to dial, who dials and whom. `listener`: who
    /// is dialled.
    pub fn tls(
        &self,
        topology: &Topology,
        dialled: &[(Subject, Subject)],
        listener: &Subject,
    ) -> anyhow::Result<Option<Tls>> {
        let Some(version) = self.tls else { return Ok(None) };
        let secrets: Arc<dyn KeyLog> = match &self.keylog {
            Some(path) => Arc::new(Secrets::new(append_secretly(path).with_context(|| path.display().to_string())?)),
            None => Arc::new(rustls::NoKeyLog),
        };
        let alpn = (self.binding == Binding::Grpc).then_some(&b"h2"[..]);
        let terms = Terms { version, alpn, clock: Clock::Machine, secrets };
        let server = terms.server(&self.identity(topology, listener)?)?;
        let clients = dialled.iter().map(|(who, whom)| {
            let name = self.server_name.clone().unwrap_or_else(|| whom.host().to_owned());
            Ok((terms.client(&self.identity(topology, who)?)?, name))
        });
        Ok(Some(Tls { clients: clients.collect::<anyhow::Result<_>>()?, server }))
    }

    fn identity(&self, topology: &Topology, subject: &Subject) -> io::Result<Identity> {
        match (&self.pki, &self.ca, &self.cert, &self.key) {
            (None, Some(ca), Some(certificate), Some(key)) => Identity::read(ca, certificate, key),
            (Some(directory), other, ..) => {
                let mut identity = pki::from_directory(directory, subject, topology, self.keys, now())?;
                identity.roots.extend(other.as_deref().map(pki::certificates).transpose()?.unwrap_or_default());
                Ok(identity)
            }
            _ => unreachable!("the arguments require one or the other"),
        }
    }
}

/// Opens a file for its owner alone.
fn append_secretly(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
