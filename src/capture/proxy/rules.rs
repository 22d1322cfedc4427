//! What to tell nftables so that connections come to a transparent proxy, and how to take it back. In: what is to be
//! brought where. Out: shell commands. Touches nothing itself.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::Party;

/// The table, the mark and the routing table that are ours.
const TABLE: &str = "ckscope";
const MARK: &str = "0x4164";
const ROUTES: &str = "4164";

/// What is to be brought where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// As they are (TPROXY); else by changing their destination (REDIRECT).
    pub tproxy: bool,
    /// Where the proxy listens, and for whose connections.
    pub listen: Vec<(SocketAddr, Party)>,
    /// The destination ports of what is brought here.
    pub ports: Vec<u16>,
    /// The controller's addresses: what KMs dial goes there, what it dials comes from there. Empty for any.
    pub controller: Vec<IpAddr>,
    /// Answers to addresses that the proxy dials on from come here, too.
    pub spoof_source: bool,
}

impl Rules {
    /// Commands that bring connections here.
    pub fn setting(&self) -> String {
        // A table that is not there cannot be deleted, and one that is there would keep its rules.
        let anew = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
        let mut out = format!("nft -f - <<'END'\n{anew}table inet {TABLE} {{\n");
        if self.tproxy {
            self.intercept(&mut out)
        } else {
            self.redirect(&mut out)
        }
        out.push_str("}\nEND\n");
        for version in self.routed() {
            let all = if version == "-4" { "0.0.0.0/0" } else { "::/0" };
            let _ = writeln!(out, "{}", unruled(version)); // a String takes all
            let _ = writeln!(out, "ip {version} rule add fwmark {MARK} lookup {ROUTES}");
            let _ = writeln!(out, "ip {version} route replace local {all} dev lo table {ROUTES}");
        }
        out
    }

    fn intercept(&self, out: &mut String) {
        let rules = [
            // What the proxy itself dials on this host: taken again, it would lead here for ever.
            vec!["iif lo accept".to_owned()],
            self.answers(),
            self.by_listener(|version, listen| {
                // Without an address it would be that of the interface, where nobody may listen.
                let to = if listen.ip().is_unspecified() { format!(":{}", listen.port()) } else { listen.to_string() };
                format!("tproxy {version} to {to} meta mark set {MARK} accept")
            }),
        ];
        chain(out, "to_proxy", "filter hook prerouting priority mangle", &rules.concat());
    }

    fn redirect(&self, out: &mut String) {
        if self.spoof_source {
            chain(out, "answers", "filter hook prerouting priority mangle", &self.answers());
        }
        let rules = self.by_listener(|version, listen| match listen.ip().is_unspecified() {
            true => format!("redirect to :{}", listen.port()),
            // A redirection leads to the address of the interface, where nobody may listen.
            false => format!("dnat {version} to {listen}"),
        });
        chain(out, "to_proxy", "nat hook prerouting priority dstnat", &rules);
    }

    /// Commands that undo [`setting`](Self::setting).
    pub fn removal(&self) -> String {
        let mut out = format!("nft delete table inet {TABLE}\n");
        for version in self.routed() {
            let _ = writeln!(out, "{}", unruled(version));
            let _ = writeln!(out, "ip {version} route flush table {ROUTES}");
        }
        out
    }

    /// The IP versions whose packets to other addresses must be delivered here.
    fn routed(&self) -> Vec<&'static str> {
        if !self.tproxy && !self.spoof_source {
            return Vec::new();
        }
        let versions = [(false, "-4"), (true, "-6")];
        let has = |v6: bool| self.listen.iter().any(|(listen, _)| listen.is_ipv6() == v6);
        versions.into_iter().filter(|(v6, _)| has(*v6)).map(|(_, version)| version).collect()
    }

    /// What belongs to a connection of the proxy that has another's address is the proxy's.
    fn answers(&self) -> Vec<String> {
        vec![format!("meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set {MARK} accept")]
    }

    /// A rule for each listener.
    fn by_listener(&self, verdict: impl Fn(&str, &SocketAddr) -> String) -> Vec<String> {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let rule = |(listen, dialler): &(SocketAddr, Party)| {
            let (version, family) = if listen.is_ipv6() { ("ip6", "ipv6") } else { ("ip", "ipv4") };
            let of_version = self.controller.iter().filter(|address| address.is_ipv6() == listen.is_ipv6());
            let controller: Vec<String> = of_version.map(IpAddr::to_string).collect();
            let end = if *dialler == Party::Km { "daddr" } else { "saddr" };
            let between = match controller.is_empty() {
                true if self.controller.is_empty() => String::new(),
                true => return None,
                false => format!("{version} {end} {{ {} }} ", controller.join(", ")),
            };
            let verdict = verdict(version, listen);
            Some(format!("meta nfproto {family} {between}tcp dport {{ {} }} {verdict}", ports.join(", ")))
        };
        self.listen.iter().filter_map(rule).collect()
    }
}

/// Removes our routing rule, however often it was added.
fn unruled(version: &str) -> String {
    format!("while ip {version} rule del fwmark {MARK} lookup {ROUTES} 2>/dev/null; do :; done")
}

fn chain(out: &mut String, name: &str, hook: &str, rules: &[String]) {
    let _ = writeln!(out, "  chain {name} {{\n    type {hook}; policy accept;"); // a String takes all
    for rule in rules {
        let _ = writeln!(out, "    {rule}");
    }
    out.push_str("  }\n");
}
