//! The simulated QKDN's map: KMs with their KMA and applications, and the KMA links between them. Finds routes.

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::Deserialize;

/// One QKD node's key manager.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Km {
    /// KM ID, as in Session creation notification.
    pub id: String,
    /// ID of its KMA, as in the key relay messages.
    pub kma: String,
    /// IDs of the cryptographic applications that connect to it.
    #[serde(default)]
    pub applications: Vec<String>,
    /// KMA IDs of its neighbours; a link needs to be written at one of its ends only.
    #[serde(default)]
    pub links: Vec<String>,
    /// Last number of its address (192.0.2.N), by which a controller knows who has dialled.
    #[serde(default)]
    pub host: u8,
}

/// The map.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The KMs, in the order in which ties between routes are broken.
    #[serde(rename = "km")]
    pub kms: Vec<Km>,
}

/// Six KMs: two equally long ways from KMA-1 to KMA-4, and a spur to KMA-6.
impl Default for Topology {
    fn default() -> Self {
        const LINKS: [&[&str]; 6] = [&["KMA-2"], &["KMA-3", "KMA-5"], &["KMA-4"], &["KMA-5", "KMA-6"], &[], &[]];
        let km = |(at, links): (usize, &&[&str])| Km {
            id: format!("KM-{}", at + 1),
            kma: format!("KMA-{}", at + 1),
            applications: vec![format!("app-{}", at + 1)],
            links: links.iter().map(|&kma| kma.to_owned()).collect(),
            host: 11 + at as u8,
        };
        Self { kms: LINKS.iter().enumerate().map(km).collect() }
    }
}

impl Topology {
    /// The position of a KMA.
    pub fn kma(&self, id: &str) -> Option<usize> {
        self.kms.iter().position(|km| km.kma == id)
    }

    /// The position of the KM that an application connects to.
    pub fn application(&self, id: &str) -> Option<usize> {
        self.kms.iter().position(|km| km.applications.iter().any(|app| app == id))
    }

    /// The position of the KM with this address, by its last number.
    pub fn host(&self, address: IpAddr) -> Option<usize> {
        let last = match address.to_canonical() {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        self.kms.iter().position(|km| km.host == last && last != 0)
    }

    /// KMA IDs of the neighbours of `from` that lie on a shortest way to `to`.
    pub fn next_hops(&self, from: usize, to: usize) -> Vec<String> {
        let distance = self.distances(to);
        let closer = |&next: &usize| distance[next].is_some_and(|hops| distance[from] == Some(hops + 1));
        self.neighbours(from).filter(closer).map(|next| self.kms[next].kma.clone()).collect()
    }

    /// KMA IDs between `from` and `to` on the first shortest way, or `None` where there is no way.
    pub fn transit(&self, from: usize, to: usize) -> Option<Vec<String>> {
        self.distances(to)[from]?;
        let mut route = Vec::new();
        let mut at = from;
        while at != to {
            let next = self.next_hops(at, to).into_iter().next()?;
            at = self.kma(&next)?;
            route.push(next);
        }
        route.pop();
        Some(route)
    }

    /// Hops from every KM to `to`; `None` where there is no way.
    fn distances(&self, to: usize) -> Vec<Option<u32>> {
        let mut distance = vec![None; self.kms.len()];
        distance[to] = Some(0);
        let mut open = VecDeque::from([to]);
        while let Some(at) = open.pop_front() {
            for next in self.neighbours(at) {
                if distance[next].is_none() {
                    distance[next] = distance[at].map(|hops| hops + 1);
                    open.push_back(next);
                }
            }
        }
        distance
    }

    fn neighbours(&self, of: usize) -> impl Iterator<Item = usize> {
        let linked = move |a: usize, b: usize| self.kms[a].links.contains(&self.kms[b].kma);
        (0..self.kms.len()).filter(move |&other| linked(of, other) || linked(other, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_next_hop_of_equal_length() {
        let topology = Topology::default();
        assert_eq!(topology.next_hops(0, 3), ["KMA-2"]);
        assert_eq!(topology.next_hops(1, 3), ["KMA-3", "KMA-5"]);
        assert_eq!(topology.transit(0, 3).unwrap(), ["KMA-2", "KMA-3"]);
        assert_eq!(topology.transit(0, 1).unwrap(), [""; 0]);
    }

    #[test]
    fn finds_no_route_to_an_island() {
        let mut topology = Topology::default();
        topology.kms[3].links.pop(); // KMA-6
        assert_eq!(topology.transit(0, 5), None);
        assert!(topology.next_hops(0, 5).is_empty());
    }
}
