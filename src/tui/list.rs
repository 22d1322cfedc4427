//! A place in a long list: which line is selected, and which is at the top of the screen.

/// Selection and scrolling of one pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The selected line.
    pub at: usize,
    /// The first line on screen.
    pub top: usize,
}

/// A way to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// That many lines, up if negative.
    Lines(isize),
    /// That many pages, up if negative.
    Pages(isize),
    /// To the first line.
    First,
    /// To the last line.
    Last,
}

impl Cursor {
    /// Moves in a list of `count` lines, `height` of which are on screen.
    pub fn step(&mut self, step: Step, count: usize, height: usize) {
        self.at = match step {
            Step::Lines(by) => self.at.saturating_add_signed(by),
            Step::Pages(by) => self.at.saturating_add_signed(by * (height.max(2) - 1) as isize),
            Step::First => 0,
            Step::Last => usize::MAX,
        };
        self.settle(count, height);
    }

    /// Keeps the selection in the list and on screen.
    pub fn settle(&mut self, count: usize, height: usize) {
        self.at = self.at.min(count.saturating_sub(1));
        let height = height.max(1);
        self.top = self.top.clamp((self.at + 1).saturating_sub(height), self.at);
        self.top = self.top.min(count.saturating_sub(height));
    }
}
