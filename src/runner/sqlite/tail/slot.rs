//! How long a row of the table `tail` is. SQLite writes a row over in place if it is as long as before; else it takes and
//! gives back pages, and tells so on three more. So rows come in few lengths.

/// How long a row is, beside its epoch: a quarter of a page with what SQLite adds to it, or all of one and whole pages
/// behind it (<https://sqlite.org/fileformat2.html>, chapter 1.6).
const QUARTER: usize = 1000;
const PAGE: usize = 4050;
const NEXT: usize = 4092;

/// The size of the header of a row, and the types of its id and epoch: a byte each.
const BEFORE: usize = 3;
/// What the lengths of two values may take at most.
const LENGTHS: usize = 2 * 5;

/// What is longer costs more to write over than it saves: such a row is as long as what stands in it.
const LONG: usize = PAGE + 3 * NEXT;

/// The length of a row for two values that are so long together.
pub(super) fn room(both: usize) -> usize {
    let length = BEFORE + LENGTHS + both;
    if length <= QUARTER {
        QUARTER
    } else if length <= LONG {
        PAGE + length.saturating_sub(PAGE).div_ceil(NEXT) * NEXT
    } else {
        length
    }
}

/// Whether a row of that length is written over by others.
pub(super) fn is_reused(room: usize) -> bool {
    room <= LONG
}

/// How long the second value has to be to fill a row, whose first is so long.
pub(super) fn second(first: usize, room: usize) -> usize {
    let left = room.saturating_sub(BEFORE + type_of(first) + first);
    // Where a byte more would take a byte more to tell its length, the row is a byte too short: it is not written over in
    // place, no more.
    (1..).map(|length| left.saturating_sub(length)).find(|second| second + type_of(*second) <= left.max(1)).unwrap_or(0)
}

/// How many bytes it takes to tell that a value is a blob of this length.
fn type_of(length: usize) -> usize {
    let bits = usize::BITS - (12 + 2 * length).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_has_room_for_its_values_and_is_as_long_as_others(first in 0..20_000_usize, said in 0..20_000_usize) {
            let room = room(first + said);
            let second = second(first, room);
            prop_assert!(second >= said);
            let length = BEFORE + type_of(first) + type_of(second) + first + second;
            prop_assert!(length == room || length + 1 == room, "{length} of {room}");
        }
    }

    #[test]
    fn rows_come_in_few_lengths() {
        let rooms: std::collections::BTreeSet<usize> = (0..20_000).map(room).filter(|room| is_reused(*room)).collect();
        assert_eq!(rooms.len(), 5);
    }
}
