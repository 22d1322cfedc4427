//! Counts and response times.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::state::State;
use crate::journal::View;

/// Draws the view.
pub fn draw(_state: &State, _view: View<'_>, _buffer: &mut Buffer, _area: Rect) {}
