//! Writes what was chosen.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;

use super::choice::{BATCH, Choice};
use super::plaintext::Plaintext;
use crate::capture::file::Replay;
use crate::capture::spool::{Interface, Spool, TLS_KEY_LOG};
use crate::capture::{Batch, LinkType};

/// Packets that begin with their IP header (LINKTYPE_RAW).
const RAW: LinkType = LinkType(101);

/// A part of a capture, to be written.
pub struct Extract<'a> {
    /// The capture.
    pub replay: &'a Replay,
    /// What of it is wanted.
    pub choice: Choice,
    /// What is written in the place of TLS connections.
    pub plaintext: Plaintext,
    /// An NSS key log to put in, if it is not empty.
    pub secrets: String,
    /// Comments of packets, by their numbers, where they are not those of the capture.
    pub comments: Comments,
}

/// What is written on packets beside what the capture has on them, or in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// By number of packet.
    pub texts: HashMap<u32, Vec<String>>,
    /// Up to this packet they stand in the place of the capture's own, behind it beside them.
    pub known: u32,
}

impl Comments {
    /// The comments of packet `number`, of which the capture has `own`.
    fn of<'a>(&'a self, number: u32, own: impl Iterator<Item = Cow<'a, str>>) -> Vec<Cow<'a, str>> {
        let Some(texts) = self.texts.get(&number) else { return own.collect() };
        own.filter(|_| number > self.known).chain(texts.iter().map(|text| Cow::from(&**text))).collect()
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Packets of the capture.
    pub packets: u64,
    /// Packets that carry plaintext.
    pub made: u64,
}

impl Extract<'_> {
    /// Writes it as pcapng.
    ///
    /// # Errors
    /// `out` or the temporary file of the plaintext fails.
    pub fn write(mut self, out: impl Write) -> io::Result<Written> {
        let mut scout = self.replay.again();
        let chosen = self.choice.packets(&mut scout, &mut self.plaintext);
        check(&scout)?;
        self.plaintext.settle(&self.choice)?;
        let comments = scout.files().iter().flat_map(|file| &file.section_comments);
        let comments: Vec<&str> = comments.map(String::as_str).collect();
        let mut spool = Spool::with_comments(out, concat!("ckscope ", env!("CARGO_PKG_VERSION")), &comments)?;
        let bases = interfaces(&scout, &mut spool)?;
        let made_on = if self.plaintext.is_empty() {
            None
        } else {
            Some(spool.interface(&Interface { link: RAW, snaplen: 0, name: "plaintext".to_owned() })?)
        };
        self.names(&scout, &mut spool)?;
        if !self.secrets.is_empty() {
            spool.secrets(TLS_KEY_LOG, self.secrets.as_bytes())?;
        }
        let written = self.packets(&chosen, &bases, made_on, &mut spool)?;
        spool.flush()?;
        Ok(written)
    }

    /// The names of addresses that anything is written of.
    fn names(&self, scout: &Replay, spool: &mut Spool<impl Write>) -> io::Result<()> {
        let all = scout.files().iter().flat_map(|file| &file.names);
        let mut names: Vec<(IpAddr, &str)> = all.map(|(address, name)| (*address, name.as_str())).collect();
        names.retain(|(address, _)| self.choice.has_address(address));
        names.sort_unstable();
        names.dedup();
        if names.is_empty() { Ok(()) } else { spool.names(&names) }
    }

    fn packets(
        &mut self,
        chosen: &[bool],
        bases: &[u32],
        made_on: Option<u32>,
        spool: &mut Spool<impl Write>,
    ) -> io::Result<Written> {
        let (mut replay, mut batch, mut written) = (self.replay.again(), Batch::default(), Written::default());
        let mut number = 0;
        while replay.read_batch(&mut batch, BATCH) {
            for (index, packet) in batch.packets.iter().enumerate() {
                number += 1;
                // A live capture has grown since.
                if number as usize > chosen.len() {
                    return Ok(written);
                }
                if chosen[number as usize - 1] {
                    let interface = bases[replay.file_of(packet)] + u32::from(packet.interface);
                    let comments = self.comments.of(number, batch.comments_of(index));
                    let comments: Vec<&str> = comments.iter().map(|text| &**text).collect();
                    spool.packet(interface, packet.time, packet.original, batch.bytes(packet), &comments)?;
                    written.packets += 1;
                }
                let Some(interface) = made_on else { continue };
                self.plaintext.packets_at(number, packet.time, |bytes, comments| {
                    let comments: Vec<&str> = comments.iter().map(String::as_str).collect();
                    written.made += 1;
                    spool.packet(interface, packet.time, bytes.len() as u32, bytes, &comments)
                })?;
            }
        }
        check(&replay).map(|()| written)
    }
}

/// Packets are told by their numbers, which are those from the first one on.
fn check(replay: &Replay) -> io::Result<()> {
    if replay.is_whole() {
        return Ok(());
    }
    let advice = "the files that are left of it can be read with ckscope export";
    Err(io::Error::other(format!(
        "files of the recording were removed, so packets cannot be picked out any more; {advice}"
    )))
}

/// The interfaces of all files; the number of each file's first.
fn interfaces(replay: &Replay, spool: &mut Spool<impl Write>) -> io::Result<Vec<u32>> {
    let mut bases = Vec::new();
    let mut count = 0;
    for file in replay.files() {
        bases.push(count);
        for interface in &file.interfaces {
            let name = interface.name.clone().unwrap_or_default();
            let (link, snaplen) = (interface.link, interface.snaplen);
            count = spool.interface(&Interface { link, snaplen, name })? + 1;
        }
    }
    Ok(bases)
}
