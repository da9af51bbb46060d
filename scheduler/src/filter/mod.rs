//! The first step: which nodes can run the task at all.
//!
//! Each filter is a type that decides and explains, so that what people read comes from what decided.
//! Filters of [`OF_NODE`] do not look at the request: a node that fails one has no row in the index.
//! Filters of [`OF_REQUEST`] are asked in this order, and the first that says no is the one that is counted.
//!
//! To add one: write the type, put it in the list, describe it in `README.md`.

mod attribute;
mod group;
mod node;
mod resource;

use crate::ask::{Ask, Candidate};
use crate::model::Request;

/// Decides whether a node can run the task, and says why.
pub(crate) trait Filter: Sync {
    /// Its name in explanations: one word or two.
    fn name(&self) -> &'static str;
    /// Whether the request has anything that this filter could refuse.
    fn wanted(&self, request: &Request) -> bool;
    /// Whether it reads more of a node than its row and its attributes.
    fn reads_more(&self, request: &Request) -> bool;
    /// Whether the node passes.
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool;
    /// The figures behind the decision, for a node that passes as for one that does not.
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told;
    /// The smallest change that would let the node pass; asked only where it does not.
    fn remedy(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> String;
    /// What the node misses, and of how much, in any unit; asked only where it does not pass.
    fn misses(&self, _ask: &Ask<'_>, _candidate: &Candidate<'_>) -> (u64, u64) {
        (1, 1)
    }
}

/// What a filter found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) needed: Option<String>,
    pub(crate) free: Option<String>,
    pub(crate) short_by: Option<String>,
}

impl Told {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// Filters that depend on the node alone.
pub(crate) const OF_NODE: &[&dyn Filter] = &[&node::State, &node::Available, &node::Healthy];

/// Makes the list of filters, and the same list as straight code for the inner loop.
macro_rules! of_request {
    ($($filter:expr,)*) => {
        /// Filters that depend on the request.
        pub(crate) const OF_REQUEST: &[&dyn Filter] = &[$(&$filter,)*];

        /// The number in [`OF_REQUEST`] of the first wanted filter that the node does not pass.
        #[inline]
        pub(crate) fn first_failed(wanted: u32, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Option<usize> {
            let mut number = 0;
            $(
                if wanted & (1 << number) != 0 && !$filter.passes(ask, candidate) {
                    return Some(number);
                }
                number += 1;
            )*
            let _ = number;
            None
        }
    };
}

of_request![
    node::Excluded,
    attribute::DataCenter,
    attribute::Platforms,
    attribute::Constraints,
    attribute::LocalImage,
    resource::CPU,
    resource::MEMORY,
    resource::DISK,
    resource::Ports,
    group::DistinctValues,
    group::MaxPerNode,
];

/// The numbers in [`OF_REQUEST`] of the filters for CPU, memory and disk.
pub(crate) const ROOM: [usize; 3] = [5, 6, 7];

/// The number of the filter for ports.
pub(crate) const PORTS: usize = 8;

/// One bit for each wanted filter of [`OF_REQUEST`].
pub(crate) fn wanted(request: &Request) -> u32 {
    let numbered = OF_REQUEST.iter().enumerate();
    numbered.filter(|(_, filter)| filter.wanted(request)).map(|(number, _)| 1 << number).sum()
}

#[cfg(test)]
mod tests {
    use super::{OF_REQUEST, PORTS, ROOM};

    #[test]
    fn the_numbers_of_filters() {
        assert_eq!(OF_REQUEST[PORTS].name(), "port");
        assert_eq!(ROOM.map(|number| OF_REQUEST[number].name()), ["cpu", "memory", "disk"]);
    }
}
