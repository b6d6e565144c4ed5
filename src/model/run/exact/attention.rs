//! Whether a session's attention has the same bits beside others as alone.

use super::noise::noise;
use crate::model::kernels::{
    Company, HeadNorms, Heads, Kernels, KvShape, KvStore, Layout, Part, Positions, Rows, Step, Tokens,
};
use crate::model::layers::Attention;
use crate::protocol::DeviceKind;
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype};

/// Whether sessions have the same bits beside equally long ones as alone.
pub fn attends_together_as_alone(
    attention: &Attention,
    kernels: &dyn Kernels,
    width: usize,
    device: DeviceKind,
    dtype: Dtype,
) -> Result<bool> {
    // GPU kernels change with the number of keys, and the longest caches are tried with few sessions to spare memory.
    let lengths: &[(i32, usize)] = match device {
        DeviceKind::Cpu => &[(5, width), (300, width), (1100, width.min(4))],
        DeviceKind::Gpu => &[(5, width), (300, width), (1100, width), (4200, width.min(4))],
    };
    for (length, most) in lengths {
        let sessions = Sessions::new(attention, kernels, dtype, &vec![*length; *most])?;
        let alone = (0..*most).map(|session| sessions.attend(session..session + 1, Company::EquallyLong(1)));
        let alone = alone.collect::<Result<Vec<_>>>()?;
        for together in [2, 3, *most] {
            let company = Company::EquallyLong(together);
            if !are_rows_of(&sessions.attend(0..together.min(*most), company)?, &alone)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether sessions have the same bits beside shorter and longer ones as alone, all of them attended at once; false too
/// where the kernels don't promise it.
pub fn attends_ragged_as_alone(attention: &Attention, kernels: &dyn Kernels, dtype: Dtype) -> Result<bool> {
    if !kernels.attends_any_lengths(&attention.heads(), dtype, attention.settings) {
        return Ok(false);
    }
    let lengths = [300, 297, 236, 100, 1];
    let sessions = Sessions::new(attention, kernels, dtype, &lengths)?;
    let alone = (0..lengths.len()).map(|session| sessions.attend(session..session + 1, Company::Any));
    are_rows_of(&sessions.attend(0..lengths.len(), Company::Any)?, &alone.collect::<Result<Vec<_>>>()?)
}

/// Whether the rows of `together` are the first arrays of `alone`.
fn are_rows_of(together: &Array, alone: &[Array]) -> Result<bool> {
    for (row, alone) in (0..together.dim(0)).zip(alone) {
        if !alone.eq_exact(together.try_index(row..row + 1)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sessions of random tokens, each about to take one more.
struct Sessions<'a> {
    attention: &'a Attention,
    kernels: &'a dyn Kernels,
    /// Each session's keys and values, `[1, kv_heads, tokens, head_dim]`.
    held: Vec<[Array; 2]>,
    /// The product of the newest tokens' queries, keys and values, `[sessions, (heads + 2 · kv_heads) · head_dim]`.
    newest: Array,
    dtype: Dtype,
}

impl<'a> Sessions<'a> {
    fn new(attention: &'a Attention, kernels: &'a dyn Kernels, dtype: Dtype, lengths: &[i32]) -> Result<Self> {
        let (heads, kv_heads, head_dim) = (attention.heads, attention.kv_heads, attention.head_dim);
        let held = (0..).zip(lengths).map(|(session, length)| {
            let tokens = |seed| noise(&[1, kv_heads, *length, head_dim], seed, dtype);
            Ok([tokens(2 * session)?, tokens(2 * session + 1)?])
        });
        let newest = noise(&[lengths.len() as i32, (heads + 2 * kv_heads) * head_dim], 1000, dtype)?;
        Ok(Self { attention, kernels, held: held.collect::<Result<_>>()?, newest, dtype })
    }

    /// What attention gives for the newest tokens of some sessions: `[sessions, heads · head_dim]`.
    fn attend(&self, sessions: std::ops::Range<usize>, company: Company) -> Result<Array> {
        let held = &self.held[sessions.clone()];
        let x = self.newest.try_index(sessions.start as i32..sessions.end as i32)?;
        let lengths: Vec<i32> = held.iter().map(|[keys, _]| keys.dim(2)).collect();
        let mut stores = Vec::new();
        let parts = if self.kernels.promises().attends_own_caches || held.len() == 1 {
            for (length, tokens) in lengths.iter().zip(held) {
                stores.push(self.store(1, length + 7, &[(0, tokens)])?);
            }
            let tokens =
                |(cache, length): (usize, &i32)| Part::Tokens(Tokens { cache, start: *length, count: 1, rows: 1 });
            lengths.iter().enumerate().map(tokens).collect()
        } else {
            let end = lengths.iter().copied().max().unwrap_or_default();
            let starts: Vec<i32> = lengths.iter().map(|length| end - length).collect();
            let rooms = lengths.len() as i32;
            let tokens: Vec<(i32, &[Array; 2])> = starts.iter().copied().zip(held).collect();
            stores.push(self.store(rooms, end + 7, &tokens)?);
            vec![Part::Step(Step { cache: 0, rows: rooms, layout: Layout::new(end, (0..rooms).collect(), starts) })]
        };
        let attention = self.attention;
        // Norms and rotations are each row's own.
        let heads = Heads {
            queries: attention.heads,
            keys: attention.kv_heads,
            head_dim: attention.head_dim,
            norms: HeadNorms::None,
            rotation: attention.rotation.as_ref(),
        };
        let mut memories: Vec<_> = stores.iter_mut().map(|store| store.layer_mut(0)).collect();
        let rows = Rows { parts, company };
        self.kernels.attend(&x, &heads, &Positions::each(lengths), &mut memories, &rows, attention.settings)
    }

    /// One layer's cache with room for `places` places, and the tokens of its rooms from some places on.
    fn store(&self, rooms: i32, places: i32, tokens: &[(i32, &[Array; 2])]) -> Result<KvStore> {
        let (kv_heads, head_dim) = (self.attention.kv_heads, self.attention.head_dim);
        let shape = KvShape { layers: 1, kv_heads, head_dim, dtype: self.dtype };
        let mut store = KvStore::empty(self.kernels, &shape, rooms, places)?;
        for (room, (place, [keys, values])) in (0..).zip(tokens) {
            store.fill(0, room, *place, [keys, values])?;
        }
        Ok(store)
    }
}
