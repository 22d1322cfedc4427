//! A payload as a tree of JSON values with the bytes that each takes, for the one message that is looked at closely.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Values of a tree; a payload of 64 KiB can have more, which nobody reads line by line.
const MAX_NODES: usize = 4096;
/// Levels of a tree: each is read again for the next.
const MAX_DEPTH: u8 = 32;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in an object, without escapes; its position in an array.
    pub name: String,
    /// Levels above it: 0 for what the payload's object holds.
    pub depth: u8,
    /// Bytes of the payload that it takes, with its name where that stands there without escapes.
    pub bytes: Range<usize>,
    /// Bytes of the payload that its value takes.
    pub value: Range<usize>,
    /// Values directly in it.
    pub children: u32,
}

/// A payload's values in the order received, each before those in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The values.
    pub nodes: Vec<Node>,
    /// Values beyond what a tree holds, or behind what is no JSON, are missing.
    pub cut: bool,
}

impl Tree {
    /// The tree of `payload`, as far as it is JSON in UTF-8.
    pub fn new(payload: &[u8]) -> Self {
        let mut tree = Self::default();
        let (text, whole) = match std::str::from_utf8(payload) {
            Ok(text) => (text, true),
            Err(error) => (std::str::from_utf8(&payload[..error.valid_up_to()]).unwrap_or_default(), false),
        };
        let start = text.trim_start_matches('\u{feff}');
        let base = start.as_ptr() as usize - (text.len() - start.len());
        let mut pass = Pass { tree: &mut tree, base, depth: 0 };
        let read = serde_json::Deserializer::from_str(start).deserialize_any(&mut pass).is_ok();
        tree.cut |= !read || !whole;
        tree
    }
}

struct Pass<'t> {
    tree: &'t mut Tree,
    /// Address of the payload's first byte.
    base: usize,
    depth: u8,
}

impl Pass<'_> {
    /// Adds a value, and what is in it; the number of values added directly.
    fn add(&mut self, name: Cow<'_, str>, name_at: Option<usize>, raw: &RawValue) {
        if self.tree.nodes.len() == MAX_NODES {
            self.tree.cut = true;
            return;
        }
        let start = raw.get().as_ptr() as usize - self.base;
        let value = start..start + raw.get().len();
        let bytes = name_at.map_or(start, |at| at - self.base)..value.end;
        let index = self.tree.nodes.len();
        self.tree.nodes.push(Node { name: name.into_owned(), depth: self.depth, bytes, value, children: 0 });
        if !raw.get().starts_with(['{', '[']) {
            return;
        }
        if self.depth + 1 == MAX_DEPTH {
            self.tree.cut = true;
            return;
        }
        let mut inner = Pass { tree: self.tree, base: self.base, depth: self.depth + 1 };
        // What is in a raw value was read once, so it is JSON.
        let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_any(&mut inner);
        let depth = self.depth + 1;
        let children = self.tree.nodes[index + 1..].iter().filter(|node| node.depth == depth).count();
        self.tree.nodes[index].children = children as u32;
    }
}

impl<'de> Visitor<'de> for &mut Pass<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&RawValue>()? {
            // A name is a string, so it stands in quotes; one with a lone surrogate is kept as it is written.
            let text = name.get();
            let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
            let shown = match serde_json::from_str::<Cow<'_, str>>(text) {
                Ok(name) => name,
                Err(_) => Cow::Borrowed(inner),
            };
            let at = text.as_ptr() as usize;
            let raw = map.next_value::<&RawValue>()?;
            self.add(shown, Some(at), raw);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while let Some(raw) = sequence.next_element::<&RawValue>()? {
            self.add(Cow::Owned(index.to_string()), None, raw);
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(payload: &str) -> Vec<(String, u8, &str, &str, u32)> {
        let tree = Tree::new(payload.as_bytes());
        let tell = |node: Node| {
            (node.name, node.depth, &payload[node.bytes.clone()], &payload[node.value.clone()], node.children)
        };
        tree.nodes.into_iter().map(tell).collect()
    }

    #[test]
    fn every_value_knows_its_bytes() {
        let payload = "{\"Session ID\": \"s\\u0031\",\n \"a\\\"b\":[1, {\"x\": null}]}";
        assert_eq!(
            told(payload),
            [
                ("Session ID".to_owned(), 0, "\"Session ID\": \"s\\u0031\"", "\"s\\u0031\"", 0),
                ("a\"b".to_owned(), 0, "\"a\\\"b\":[1, {\"x\": null}]", "[1, {\"x\": null}]", 2),
                ("0".to_owned(), 1, "1", "1", 0),
                ("1".to_owned(), 1, "{\"x\": null}", "{\"x\": null}", 1),
                ("x".to_owned(), 2, "\"x\": null", "null", 0),
            ]
        );
    }

    #[test]
    fn what_stands_before_an_error_is_kept() {
        let tree = Tree::new(b"{\"a\":1,\"b\":");
        assert_eq!((tree.nodes.len(), tree.cut), (1, true));
        assert!(Tree::new(b"\xff").cut);
        assert!(!Tree::new("\u{feff}{\"a\":1}".as_bytes()).cut);
        assert_eq!(Tree::new("\u{feff}{\"a\":1}".as_bytes()).nodes[0].bytes, 4..9);
    }

    #[test]
    fn depth_and_number_have_an_end() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Tree::new(deep.as_bytes()).cut);
        let many = format!("[{}1]", "1,".repeat(30_000));
        let tree = Tree::new(many.as_bytes());
        assert!(tree.cut && tree.nodes.len() == MAX_NODES);
    }
}
