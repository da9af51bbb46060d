//! Room for those who connect and ask: so many at once, and so many in a time. Who is over it is turned away at once and
//! costs nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most keys that a [`Pace`] remembers; with more of them, the one that waited longest is forgotten.
const KEYS_MAX: usize = 4096;

/// Places, bounded in all and for each address.
#[derive(Debug)]
pub struct Room {
    all_max: usize,
    each_max: usize,
    by_address: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Room {
    /// So many places in all, and so many for each address.
    pub fn new(all_max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, each_max, by_address: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more, given back when it is dropped.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut by_address = self.lock();
        let all: usize = by_address.values().sum();
        let own = by_address.get(&address).copied().unwrap_or_default();
        if all >= self.all_max || own >= self.each_max {
            return None;
        }
        by_address.insert(address, own + 1);
        Some(Place { room: Arc::clone(self), address })
    }
}

/// A place in a [`Room`].
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.room.lock();
        if let Some(own) = by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// So many at once, and then one each so many milliseconds; for each key.
#[derive(Debug)]
pub struct Pace<K> {
    burst: u32,
    each_ms: u64,
    /// When the bucket of a key is empty again, on the boot clock in milliseconds.
    until: Mutex<BTreeMap<K, u64>>,
}

impl<K: Ord + Clone> Pace<K> {
    /// `(burst, milliseconds)`.
    pub const fn new((burst, each_ms): (u32, u64)) -> Self {
        Self { burst, each_ms, until: Mutex::new(BTreeMap::new()) }
    }

    /// Whether one more is within the pace; it then counts.
    pub fn take(&self, key: &K, now_ms: u64) -> bool {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let from = until.get(key).copied().unwrap_or(0).max(now_ms);
        if from - now_ms > u64::from(self.burst.saturating_sub(1)) * self.each_ms {
            return false;
        }
        if until.len() >= KEYS_MAX && !until.contains_key(key) {
            until.retain(|_, full| *full > now_ms);
            if until.len() >= KEYS_MAX
                && let Some(oldest) = until.iter().min_by_key(|(_, at)| **at).map(|(k, _)| k.clone())
            {
                until.remove(&oldest);
            }
        }
        until.insert(key.clone(), from + self.each_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_share_and_places_come_back() {
        let room = Room::new(5, 3);
        let [a, b]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let mut held: Vec<_> = (0..3).map(|_| room.take(a).unwrap()).collect();
        assert!(room.take(a).is_none(), "its share is used up");
        let others: Vec<_> = std::iter::from_fn(|| room.take(b)).collect();
        assert_eq!(others.len(), 2, "there is no more in all");
        held.pop();
        assert!(room.take(a).is_some());
    }

    #[test]
    fn a_pace_has_a_burst_and_then_its_step() {
        let pace = Pace::new((3, 100));
        let taken = |now| pace.take(&"a", now);
        assert!(taken(1000) && taken(1000) && taken(1000) && !taken(1000));
        assert!(!taken(1099) && taken(1100) && !taken(1100));
        assert!(pace.take(&"b", 1100), "others have their own");
        assert!(
            taken(9000) && taken(9000) && taken(9000) && !taken(9000),
            "it fills up again, and no further"
        );
    }

    #[test]
    fn many_keys_take_bounded_memory() {
        let pace = Pace::new((1, 1000));
        for key in 0..KEYS_MAX * 2 {
            assert!(pace.take(&key, 0));
        }
        assert!(pace.until.lock().unwrap().len() <= KEYS_MAX);
    }
}
