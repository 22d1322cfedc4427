//! What is shown: the display filter and the identifiers to follow, for every command that takes them.

use anyhow::anyhow;
use clap::Args;
use jiff::tz::TimeZone;

use super::{Multiline, say};
use crate::dissect::Definitions;
use crate::filter::{Context, Filter, Follow, Selection};
use crate::journal::View;

/// Which messages, procedures or connections to show.
#[derive(Args, Debug, Clone, Default)]
pub struct FilterArgs {
    /// Show only what this display filter holds for, like 'ck.session_id == "S-1" && !ck.response'
    ///
    /// Wireshark's syntax: == != < <= > >= contains matches in {..}, && || ! and parentheses. `ckscope fields` lists the
    /// fields. A procedure is shown if it holds for one of its messages, and so is a connection.
    #[arg(short = 'Y', long, value_name = "EXPR", help_heading = "Filter")]
    pub display_filter: Option<String>,
}

/// Which identifiers to follow.
#[derive(Args, Debug, Clone, Default)]
pub struct FollowedArgs {
    /// Show only what carries this identifier, and what belongs to the same exchange (repeatable)
    ///
    /// NAME is a parameter (session_id, key_relay_request_id, key_ids, ...). Procedures and messages are followed
    /// through those related to them, across connections. With several, what carries any of them.
    #[arg(long = "follow", value_name = "NAME=VALUE", help_heading = "Filter")]
    pub follow: Vec<String>,
}

/// What was asked for, understood before anything is read.
#[derive(Debug, Default)]
pub struct Wanted {
    filter: Option<Filter>,
    followed: Vec<Follow>,
}

impl Wanted {
    /// What `filter` and `followed` mean; times without a zone are of `zone`.
    ///
    /// # Errors
    /// One of them means nothing: where and why.
    pub fn new(
        filter: &FilterArgs,
        followed: &FollowedArgs,
        definitions: &Definitions,
        zone: &TimeZone,
    ) -> anyhow::Result<Self> {
        let context = Context { definitions, zone };
        let compile = |text: &String| {
            Filter::compile(text, &context).map_err(|error| Multiline(format!("-Y: {}", error.explain(text))))
        };
        let follow = |text: &String| Follow::parse(text, &context).map_err(|error| anyhow!("--follow: {error}"));
        Ok(Self {
            filter: filter.display_filter.as_ref().map(compile).transpose()?,
            followed: followed.follow.iter().map(follow).collect::<Result<_, _>>()?,
        })
    }

    /// What of `view` is shown.
    pub fn of<'a>(&'a self, view: View<'a>) -> Shown<'a> {
        let followed = (!self.followed.is_empty()).then(|| Follow::select(&self.followed, view));
        if let Some(Selection { omitted: omitted @ 1.., .. }) = followed {
            say(format_args!(
                "--follow: {omitted} ties between procedures were not kept, as their exchange is full; \
                 what lies behind them is not shown"
            ));
        }
        Shown { view, filter: self.filter.as_ref(), followed }
    }
}

/// What is shown of a capture.
#[derive(Debug)]
pub struct Shown<'a> {
    view: View<'a>,
    filter: Option<&'a Filter>,
    followed: Option<Selection>,
}

impl Shown<'_> {
    /// Whether nothing was left out by a filter or for what is followed.
    pub fn is_everything(&self) -> bool {
        self.followed.is_none() && self.filter.is_none()
    }

    /// Whether message `index` is shown.
    pub fn message(&self, index: u32) -> bool {
        self.followed.as_ref().is_none_or(|followed| followed.messages[index as usize])
            && self.filter.is_none_or(|filter| filter.matches(self.view, index))
    }

    /// Whether procedure `index` is shown.
    pub fn procedure(&self, index: u32) -> bool {
        self.followed.as_ref().is_none_or(|followed| followed.procedures[index as usize])
            && self.filter.is_none_or(|filter| filter.matches_procedure(self.view, index))
    }

    /// By index, whether connections are shown.
    pub fn connections(&self) -> Vec<bool> {
        match self.filter {
            Some(filter) => filter.connections(self.view),
            None => vec![true; self.view.journal.connections.len()],
        }
    }
}
