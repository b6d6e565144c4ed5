//! One pass over the layers: brings each layer's caches to the kernels, with room for the tokens that come.

use super::groups::{Groups, Seat};
use super::session::KvCache;
use super::shared::SharedKvCache;
use crate::model::kernels::{
    AttentionSettings, Company, Heads, Kernels, KvMemory, KvStore, Part, Positions, Rows, Step, Tokens,
};
use mlx_rs::Array;
use mlx_rs::error::Result;

/// A pass over the next tokens of one session or of several. While it lasts nobody else can use the caches; afterwards they
/// know what must be computed before they are read.
#[derive(Debug)]
pub struct Pass<'a> {
    caches: Caches<'a>,
    rows: Rows,
    /// What attention gave in the last layer so far.
    newest: Option<Array>,
    writes_in_place: bool,
}

#[derive(Debug)]
enum Caches<'a> {
    Own(Vec<&'a mut KvCache>),
    Shared(Vec<&'a mut SharedKvCache>),
}

impl<'a> Pass<'a> {
    /// A decode step of sessions in their own caches, followed by padding up to `width` rows.
    pub fn step(caches: Vec<&'a mut KvCache>, width: usize) -> Self {
        let padding = width.saturating_sub(caches.len()) as i32;
        let last = caches.len().saturating_sub(1);
        let tokens = caches.iter().enumerate().map(|(cache, session)| {
            let rows = if cache == last { 1 + padding } else { 1 };
            Part::Tokens(Tokens { cache, start: session.length(), count: 1, rows })
        });
        let parts = tokens.collect();
        Self::new(Caches::Own(caches), parts, Company::Any)
    }

    /// A pass over tokens of prompts, whose rows follow each other.
    pub fn prompts(caches: Vec<&'a mut KvCache>, parts: &[Tokens]) -> Self {
        Self::new(Caches::Own(caches), parts.iter().copied().map(Part::Tokens).collect(), Company::Any)
    }

    /// A decode step of sessions that share caches, in the order of their seats, followed by padding up to `width` rows.
    pub fn shared_step(groups: &'a mut Groups, seats: &[Seat], width: usize, company: Company) -> Self {
        let padding = width.saturating_sub(seats.len()) as i32;
        let (caches, layouts) = groups.step(seats);
        let last = layouts.len().saturating_sub(1);
        let parts = layouts.into_iter().enumerate().map(|(cache, layout)| {
            let rows = layout.room_of_row.len() as i32 + if cache == last { padding } else { 0 };
            Part::Step(Step { cache, rows, layout })
        });
        let parts = parts.collect();
        Self::new(Caches::Shared(caches), parts, company)
    }

    fn new(caches: Caches<'a>, parts: Vec<Part>, company: Company) -> Self {
        Self { caches, rows: Rows { parts, company }, newest: None, writes_in_place: false }
    }

    /// The product x `[T, (queries + 2 · keys) · head_dim]` of the pass's T rows → what attention gives, `[T, queries · head_dim]`;
    /// the tokens are in the caches of `layer` then.
    pub fn attend(
        &mut self,
        kernels: &dyn Kernels,
        layer: usize,
        x: &Array,
        heads: &Heads<'_>,
        positions: &Positions,
        settings: AttentionSettings,
    ) -> Result<Array> {
        self.make_room(kernels, layer, settings.window)?;
        self.writes_in_place = kernels.promises().writes_in_place;
        let rows = &self.rows;
        let mut memories: Vec<&mut KvMemory> =
            self.caches.stores().into_iter().map(|store| store.layer_mut(layer)).collect();
        let output = kernels.attend(x, heads, positions, &mut memories, rows, settings)?;
        self.newest = Some(output.clone());
        Ok(output)
    }

    fn make_room(&mut self, kernels: &dyn Kernels, layer: usize, window: Option<i32>) -> Result<()> {
        match &mut self.caches {
            Caches::Own(caches) => {
                let mut ends: Vec<i32> = caches.iter().map(|cache| cache.length()).collect();
                for part in &self.rows.parts {
                    if let Part::Tokens(tokens) = part {
                        ends[tokens.cache] = ends[tokens.cache].max(tokens.start + tokens.count);
                    }
                }
                let mut caches = caches.iter_mut().zip(ends);
                caches.try_for_each(|(cache, end)| cache.make_room(kernels, layer, end, window))
            }
            Caches::Shared(caches) => caches.iter_mut().try_for_each(|cache| cache.make_room(kernels, layer, window)),
        }
    }
}

impl Caches<'_> {
    fn stores(&mut self) -> Vec<&mut KvStore> {
        match self {
            Self::Own(caches) => caches.iter_mut().map(|cache| cache.store()).collect(),
            Self::Shared(caches) => caches.iter_mut().map(|cache| cache.store()).collect(),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let (Some(newest), true) = (&self.newest, self.writes_in_place) {
            self.caches.stores().into_iter().for_each(|store| store.note(newest.clone()));
        }
    }
}
