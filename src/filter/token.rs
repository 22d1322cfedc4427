//! Text → tokens. Every text has tokens, so that an editor can colour what is not finished.

use std::borrow::Cow;
use std::ops::Range;

/// A piece of a filter's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes.
    pub span: Range<usize>,
}

/// Kinds of [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A field's name, a number, a time, an address, or a word.
    Word,
    /// Text in quotes.
    Text,
    /// Text in quotes, of which the end is missing.
    UnfinishedText,
    /// A comparison, as a sign or a word.
    Relation(Relation),
    /// `matches` or `~`.
    Matches,
    /// `contains`
    Contains,
    /// `in`
    In,
    /// `any`
    Any,
    /// `all`
    All,
    /// `&&` or `and`
    And,
    /// `||` or `or`
    Or,
    /// `^^` or `xor`
    Xor,
    /// `!` or `not`
    Not,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `{`
    OpenSet,
    /// `}`
    CloseSet,
    /// `[`
    OpenSlice,
    /// `]`
    CloseSlice,
    /// `,`
    Comma,
    /// `..`
    Range,
    /// Anything else.
    Stray,
}

/// A comparison, and of how many of several values it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// How values are compared.
    pub order: Order,
    /// Of how many values.
    pub quantifier: Quantifier,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterOrEqual,
}

/// Of how many values of a field a test must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// At least one.
    Any,
    /// All, and there is one.
    All,
}

/// How every operator is written, the usual way first: Wireshark's, wireshark-filter(4).
const OPERATORS: [(&str, TokenKind); 44] = {
    use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    use Quantifier::{All, Any};
    const fn relation(order: Order, quantifier: Quantifier) -> TokenKind {
        TokenKind::Relation(Relation { order, quantifier })
    }
    [
        ("==", relation(Equal, Any)),
        ("eq", relation(Equal, Any)),
        ("any_eq", relation(Equal, Any)),
        ("===", relation(Equal, All)),
        ("all_eq", relation(Equal, All)),
        ("!=", relation(NotEqual, All)),
        ("ne", relation(NotEqual, All)),
        ("all_ne", relation(NotEqual, All)),
        ("~=", relation(NotEqual, Any)),
        ("!==", relation(NotEqual, Any)),
        ("any_ne", relation(NotEqual, Any)),
        ("<", relation(Less, Any)),
        ("lt", relation(Less, Any)),
        ("<=", relation(LessOrEqual, Any)),
        ("le", relation(LessOrEqual, Any)),
        (">", relation(Greater, Any)),
        ("gt", relation(Greater, Any)),
        (">=", relation(GreaterOrEqual, Any)),
        ("ge", relation(GreaterOrEqual, Any)),
        ("matches", TokenKind::Matches),
        ("~", TokenKind::Matches),
        ("contains", TokenKind::Contains),
        ("in", TokenKind::In),
        ("any", TokenKind::Any),
        ("all", TokenKind::All),
        ("&&", TokenKind::And),
        ("and", TokenKind::And),
        ("||", TokenKind::Or),
        ("or", TokenKind::Or),
        ("^^", TokenKind::Xor),
        ("xor", TokenKind::Xor),
        ("!", TokenKind::Not),
        ("not", TokenKind::Not),
        ("(", TokenKind::Open),
        (")", TokenKind::Close),
        ("{", TokenKind::OpenSet),
        ("}", TokenKind::CloseSet),
        ("[", TokenKind::OpenSlice),
        ("]", TokenKind::CloseSlice),
        (",", TokenKind::Comma),
        ("..", TokenKind::Range),
        // Wrong, and known only to say what was meant.
        ("=", TokenKind::Stray),
        ("&", TokenKind::Stray),
        ("|", TokenKind::Stray),
    ]
};

impl TokenKind {
    /// How it is usually written; nothing for what holds a text of its own.
    pub fn usual(self) -> &'static str {
        OPERATORS.iter().find(|(_, kind)| *kind == self && self != Self::Stray).map_or("", |(text, _)| text)
    }

    /// What a word stands for, in whatever case it is written.
    fn of_word(word: &str) -> Self {
        OPERATORS.iter().find(|(text, _)| text.eq_ignore_ascii_case(word)).map_or(Self::Word, |&(_, kind)| kind)
    }
}

/// The tokens of `text`, with nothing but white space between them.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (kind, length) = first(&text[at..], c);
        tokens.push(Token { kind, span: at..at + length });
        at += length;
    }
    tokens
}

/// Kind and bytes of the token at the beginning of `rest`, whose first character is `c`.
fn first(rest: &str, c: char) -> (TokenKind, usize) {
    if c == '"' {
        return quoted(rest, 0, true);
    }
    if matches!(c, 'r' | 'R') && rest[1..].starts_with('"') {
        return quoted(rest, 1, false);
    }
    let word = word_length(rest);
    if word > 0 {
        return (TokenKind::of_word(&rest[..word]), word);
    }
    let signs = OPERATORS.iter().filter(|(text, _)| rest.starts_with(text));
    signs
        .max_by_key(|(text, _)| text.len())
        .map_or((TokenKind::Stray, c.len_utf8()), |&(text, kind)| (kind, text.len()))
}

/// A text whose opening quote is at `open`.
fn quoted(rest: &str, open: usize, escapes: bool) -> (TokenKind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(open + 1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if escapes => escaped = true,
            '"' => return (TokenKind::Text, at + 1),
            _ => {}
        }
    }
    (TokenKind::UnfinishedText, rest.len())
}

/// Bytes of the word at the beginning of `rest`: names, numbers, times, addresses; `..` ends one.
fn word_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().peekable();
    let mut is_first = true;
    while let Some((at, c)) = characters.next() {
        let next = characters.peek().map(|&(_, next)| next);
        let belongs = match c {
            '.' => next != Some('.'),
            '-' | '+' if is_first => next.is_some_and(|next| next.is_ascii_digit() || next == '.'),
            '-' | '+' | '/' | ':' | '_' => true,
            c => c.is_alphanumeric(),
        };
        if !belongs || (is_first && c == '/') {
            return at;
        }
        is_first = false;
    }
    rest.len()
}

/// The content of a quoted text, or where in it an escape is wrong.
pub(super) fn content(token: &str) -> Result<Cow<'_, str>, Range<usize>> {
    if let Some(raw) = token.strip_prefix(['r', 'R']) {
        return Ok(Cow::Borrowed(&raw[1..raw.len() - 1]));
    }
    let inner = &token[1..token.len() - 1];
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut content = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        content.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let start = 1 + inner.len() - rest.len() + at;
        let (c, length) =
            unescaped(escape).ok_or_else(|| start..start + 1 + escape.chars().next().map_or(0, char::len_utf8))?;
        content.push(c);
        rest = &escape[length..];
    }
    content.push_str(rest);
    Ok(Cow::Owned(content))
}

/// What the escape after a backslash stands for, and its bytes.
fn unescaped(escape: &str) -> Option<(char, usize)> {
    let c = escape.chars().next()?;
    let hex = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    Some(match c {
        '\\' | '"' | '\'' => (c, 1),
        'n' => ('\n', 1),
        'r' => ('\r', 1),
        't' => ('\t', 1),
        'x' => (hex(escape.get(1..3).filter(is_hex)?)?, 3),
        'u' if escape.starts_with("u{") => {
            let end = escape.find('}').filter(|&end| end <= 8)?;
            (hex(escape.get(2..end).filter(is_hex)?)?, end + 1)
        }
        'u' => (hex(escape.get(1..5).filter(is_hex)?)?, 5),
        _ => return None,
    })
}
