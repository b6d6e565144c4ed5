//! The rows of one pass over the layers: whose tokens they are, where in the caches these belong, what they see.

use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::arange;
use std::cell::OnceCell;
use std::ops::Range;

/// What a layer's attention wants of the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSettings {
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// How many of the newest tokens a token sees, itself included; none sees all.
    pub window: Option<i32>,
    /// Those products are squeezed into ± this, where the architecture says so.
    pub softcap: Option<f32>,
}

/// A pass's rows: those of its parts, one part after the other.
#[derive(Debug)]
pub struct Rows {
    /// The parts.
    pub parts: Vec<Part>,
    /// Which rows may be attended in one operation.
    pub company: Company,
}

/// Which rows of a step may be attended in one operation, where their bits would depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Any.
    Any,
    /// Neighbours that see equally many places, at most so many.
    EquallyLong(usize),
}

/// Rows whose tokens belong into one cache. The rows behind the tokens are padding, which sees nothing and gets zeros.
#[derive(Debug)]
pub enum Part {
    /// Tokens of one session that follow each other, in its own cache.
    Tokens(Tokens),
    /// One token each of sessions that share a cache.
    Step(Step),
}

/// Tokens of one session that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Which of the pass's caches is the session's.
    pub cache: usize,
    /// How many tokens the session has before these.
    pub start: i32,
    /// How many there are.
    pub count: i32,
    /// How many rows of the pass are the part's.
    pub rows: i32,
}

/// One token each of sessions that share a cache.
#[derive(Debug)]
pub struct Step {
    /// Which of the pass's caches it is.
    pub cache: usize,
    /// How many rows of the pass are the part's.
    pub rows: i32,
    /// Where they stand in the cache.
    pub layout: Layout,
}

impl Part {
    /// How many rows of the pass are the part's.
    pub fn rows(&self) -> i32 {
        match self {
            Self::Tokens(tokens) => tokens.rows,
            Self::Step(step) => step.rows,
        }
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> i32 {
        match self {
            Self::Tokens(tokens) => tokens.count,
            Self::Step(step) => step.layout.room_of_row.len() as i32,
        }
    }

    /// Which of the pass's caches the tokens belong into.
    pub fn cache(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.cache,
            Self::Step(step) => step.cache,
        }
    }
}

impl Rows {
    /// Whether no session has more than one token in the pass.
    pub fn is_step(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Tokens(tokens) => tokens.count == 1,
            Part::Step(_) => true,
        })
    }
}

/// The first place that a token at place `end` sees.
pub fn window_start(window: Option<i32>, end: i32) -> i32 {
    window.map_or(0, |window| (end + 1 - window).max(0))
}

/// How the rows of a decode step lie in the rooms of one cache, in which all sessions write their next token at one place.
/// What is made of it for MLX is made once, however many layers ask for it.
#[derive(Debug)]
pub struct Layout {
    /// The place of all rows' tokens.
    pub end: i32,
    /// The rooms from the first row's to the last one's.
    pub rooms: Range<i32>,
    /// Each row's room.
    pub room_of_row: Vec<i32>,
    /// The first place of each row's session.
    pub starts: Vec<i32>,
    /// For each room the row whose token is written there, where they aren't the same.
    row_of_room: Option<Array>,
    /// Which of the rooms each row stands in, where they aren't the same.
    place_of_row: Option<Array>,
    mask: OnceCell<Option<Array>>,
}

impl Layout {
    /// Of rows in `room_of_row`, whose sessions begin at `starts`, and which all write at `end`.
    pub fn new(end: i32, room_of_row: Vec<i32>, starts: Vec<i32>) -> Self {
        let first = room_of_row.iter().copied().min().unwrap_or_default();
        let last = room_of_row.iter().copied().max().map_or(0, |room| room + 1);
        let is_in_order =
            room_of_row.len() as i32 == last - first && (first..).zip(&room_of_row).all(|(at, room)| at == *room);
        let (mut row_of_room, mut place_of_row) = (None, None);
        if !is_in_order {
            // Rooms without a row get row 0's token, which nobody sees.
            let mut rows = vec![0_i32; (last - first) as usize];
            for (row, room) in (0..).zip(&room_of_row) {
                rows[(room - first) as usize] = row;
            }
            row_of_room = Some(Array::from_slice(&rows, &[rows.len() as i32]));
            let places: Vec<i32> = room_of_row.iter().map(|room| room - first).collect();
            place_of_row = Some(Array::from_slice(&places, &[places.len() as i32]));
        }
        Self { end, rooms: first..last, room_of_row, starts, row_of_room, place_of_row, mask: OnceCell::new() }
    }

    /// The first place that any row's session holds.
    pub fn first(&self) -> i32 {
        self.starts.iter().copied().min().unwrap_or(self.end)
    }

    /// `[rows, ..]` → `[rooms, ..]`.
    pub fn by_room(&self, array: &Array) -> Result<Array> {
        match &self.row_of_room {
            Some(rows) => array.take_axis(rows, 0),
            None => Ok(array.clone()),
        }
    }

    /// `[rooms, ..]` → `[rows, ..]`.
    pub fn by_row(&self, array: &Array) -> Result<Array> {
        match &self.place_of_row {
            Some(places) => array.take_axis(places, 0),
            None => Ok(array.clone()),
        }
    }

    /// Which places from [`Layout::first`] to the end each room sees: bool `[rooms, 1, 1, places]`; none where all see all.
    pub fn mask(&self) -> Result<Option<Array>> {
        if let Some(mask) = self.mask.get() {
            return Ok(mask.clone());
        }
        let first = self.first();
        let mask = if self.starts.iter().all(|start| *start == first) {
            None
        } else {
            // What is not a session's sees whatever is there: nobody reads what it gives.
            let mut starts = vec![first; self.rooms.len()];
            for (room, start) in self.room_of_row.iter().zip(&self.starts) {
                starts[(room - self.rooms.start) as usize] = *start;
            }
            let places = arange::<i32, i32>(first, self.end + 1, None)?;
            Some(places.ge(Array::from_slice(&starts, &[starts.len() as i32, 1, 1, 1]))?)
        };
        Ok(self.mask.get_or_init(|| mask).clone())
    }
}
