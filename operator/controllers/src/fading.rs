//! A map whose entries fade: what nobody has asked for in a long time is forgotten.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What was not asked for within this time is forgotten. What exists is asked for at every turn, some seconds apart; what is gone
/// never is.
const KEPT: Duration = Duration::from_hours(24);

/// The least time between two looks at all entries.
const SWEEP: Duration = Duration::from_hours(1);

/// A map whose entries fade unless they are asked for.
#[derive(Debug)]
pub struct Fading<Key, Value> {
    entries: HashMap<Key, Entry<Value>>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Entry<Value> {
    value: Value,
    asked: Instant,
}

impl<Key, Value> Default for Fading<Key, Value> {
    fn default() -> Self {
        Self { entries: HashMap::new(), swept: None }
    }
}

impl<Key: Eq + Hash, Value> Fading<Key, Value> {
    /// The value of this key, `first` if there is none yet.
    pub fn get_or_insert(
        &mut self,
        key: Key,
        now: Instant,
        first: impl FnOnce() -> Value,
    ) -> &mut Value {
        self.sweep(now);
        let entry = self.entries.entry(key);
        let entry = entry.or_insert_with(|| Entry { value: first(), asked: now });
        entry.asked = now;
        &mut entry.value
    }

    /// The value of this key.
    pub fn get<Asked>(&mut self, key: &Asked, now: Instant) -> Option<&mut Value>
    where
        Key: Borrow<Asked>,
        Asked: Eq + Hash + ?Sized,
    {
        self.sweep(now);
        let entry = self.entries.get_mut(key)?;
        entry.asked = now;
        Some(&mut entry.value)
    }

    /// Sets the value of this key; says the one before.
    pub fn insert(&mut self, key: Key, now: Instant, value: Value) -> Option<Value> {
        self.sweep(now);
        Some(self.entries.insert(key, Entry { value, asked: now })?.value)
    }

    /// Forgets this key at once.
    pub fn remove<Asked>(&mut self, key: &Asked)
    where
        Key: Borrow<Asked>,
        Asked: Eq + Hash + ?Sized,
    {
        self.entries.remove(key);
    }

    fn sweep(&mut self, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        let swept = *self.swept.get_or_insert(now);
        if since(swept) >= SWEEP {
            self.swept = Some(now);
            self.entries.retain(|_, entry| since(entry.asked) < KEPT);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_is_asked_for_each_hour_survives_for_a_week() {
        let (mut now, mut map) = (clock::now(), Fading::default());
        map.insert("asked", now, 1);
        map.insert("not asked", now, 2);
        for _ in 0..7 * 24 {
            now += Duration::from_hours(1);
            assert_eq!(map.get("asked", now), Some(&mut 1));
        }
        assert_eq!(map.len(), 1);
        assert_eq!(map.get("not asked", now), None);
    }

    #[test]
    fn whatever_asks_keeps_it() {
        let (mut now, mut map) = (clock::now(), Fading::default());
        for hour in 1..=48 {
            now += Duration::from_hours(1);
            assert_eq!(*map.get_or_insert("first", now, || hour), 1);
            map.insert("set", now, hour);
        }
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn what_comes_and_goes_is_not_kept() {
        let (mut now, mut map) = (clock::now(), Fading::default());
        for number in 0..10_000 {
            now += Duration::from_mins(1);
            map.insert(number, now, ());
            assert!(map.len() <= 25 * 60, "{} entries at {number}", map.len());
        }
    }

    #[test]
    fn what_is_removed_begins_anew() {
        let (now, mut map) = (clock::now(), Fading::default());
        map.insert("it", now, 1);
        map.remove("it");
        assert_eq!(*map.get_or_insert("it", now, || 2), 2);
    }
}
