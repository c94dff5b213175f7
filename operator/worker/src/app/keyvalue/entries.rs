//! What is in the store's file, and how one change alters it: whole, or not at all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use redb::{
    Database, ReadableDatabase as _, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::bounds::{BUCKETS, Bounds, KEY_COSTS, KEYS, Refusal};
use super::store::{Change, Pair};

type EntryKey = (&'static str, &'static str);

/// Values by bucket and key.
const ENTRIES: TableDefinition<'_, EntryKey, &[u8]> = TableDefinition::new("entries");
/// Keys and bytes by bucket; only of buckets that hold something.
const HELD: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("held");
/// Keys in one answer to `list-keys`.
const PAGE_KEYS: usize = 1000;

/// Makes the tables; returns the bytes held.
pub(super) fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    let held = Totals::read(&transaction.open_table(HELD)?, "")?.bytes;
    transaction.commit()?;
    Ok(held)
}

/// The bytes held, seen from within a transaction.
pub(super) fn held(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    Ok(Totals::read(&transaction.open_table(HELD)?, "")?.bytes)
}

/// The values of these keys, in their order; `None` once they are longer together than `most` bytes.
pub(super) fn get(
    database: &Database,
    bucket: &str,
    keys: Vec<String>,
    most: usize,
) -> Result<Option<Vec<Option<Pair>>>, redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    let mut found = Vec::with_capacity(keys.len());
    let mut bytes = 0;
    for key in keys {
        let value = entries.get((bucket, key.as_str()))?.map(|value| value.value().to_vec());
        bytes += value.as_ref().map_or(0, Vec::len);
        if bytes > most {
            return Ok(None);
        }
        found.push(value.map(|value| (key, value)));
    }
    Ok(Some(found))
}

/// Whether there is such a key.
pub(super) fn exists(database: &Database, bucket: &str, key: &str) -> Result<bool, redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    Ok(entries.get((bucket, key))?.is_some())
}

/// The keys of a bucket from the position `from` on, and the position to go on from.
pub(super) fn keys(
    database: &Database,
    bucket: &str,
    from: usize,
) -> Result<(Vec<String>, Option<u64>), redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    let mut page = Vec::new();
    for entry in entries.range((bucket, "")..)?.skip(from) {
        let (at, _) = entry?;
        let (its_bucket, key) = at.value();
        if its_bucket != bucket {
            break;
        }
        if page.len() == PAGE_KEYS {
            let next = u64::try_from(from.saturating_add(PAGE_KEYS)).ok();
            return Ok((page, next));
        }
        page.push(key.to_owned());
    }
    Ok((page, None))
}

/// Makes one change, if it is within bounds; a refused one changes nothing. Returns the number that an increment came to,
/// else 0.
pub(super) fn apply(
    transaction: &WriteTransaction,
    bounds: Bounds,
    bucket: &str,
    change: &Change,
) -> Result<Result<u64, Refusal>, redb::Error> {
    let mut entries = transaction.open_table(ENTRIES)?;
    let mut held = transaction.open_table(HELD)?;
    let (wanted, number) = match wanted(&entries, bucket, change)? {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut delta = Delta::default();
    for (key, value) in &wanted {
        let old = entries.get((bucket, *key))?.map(|old| cost(bucket, key, old.value()));
        delta.count(old, value.as_ref().map(|value| cost(bucket, key, value)));
    }
    let totals = Totals::read(&held, bucket)?;
    if let Err(refusal) = totals.check(&delta, bounds) {
        return Ok(Err(refusal));
    }
    for (key, value) in &wanted {
        match value {
            Some(value) => drop(entries.insert((bucket, *key), &value[..])?),
            None => drop(entries.remove((bucket, *key))?),
        }
    }
    totals.keep(&delta, &mut held, bucket)?;
    Ok(Ok(number))
}

/// The new value of each key; `None` where it is to go.
type Wanted<'change> = BTreeMap<&'change str, Option<Cow<'change, [u8]>>>;

fn wanted<'change>(
    entries: &Table<'_, EntryKey, &'static [u8]>,
    bucket: &str,
    change: &'change Change,
) -> Result<Result<(Wanted<'change>, u64), Refusal>, redb::Error> {
    Ok(Ok(match change {
        Change::Set(pairs) => {
            let set = |(key, value): &'change Pair| (&key[..], Some(Cow::Borrowed(&value[..])));
            (pairs.iter().map(set).collect(), 0)
        }
        Change::Delete(keys) => (keys.iter().map(|key| (&key[..], None)).collect(), 0),
        Change::Increment(key, delta) => {
            let before = entries.get((bucket, key.as_str()))?;
            let before = before
                .map_or(Some(0), |value| str::from_utf8(value.value()).ok()?.parse::<u64>().ok());
            let Some(number) = before.and_then(|number| number.checked_add(*delta)) else {
                return Ok(Err(Refusal::NotANumber { delta: *delta }));
            };
            let text = Cow::Owned(number.to_string().into_bytes());
            (BTreeMap::from([(&key[..], Some(text))]), number)
        }
    }))
}

fn cost(bucket: &str, key: &str, value: &[u8]) -> u64 {
    (bucket.len() + key.len() + value.len()) as u64 + KEY_COSTS
}

/// What a change adds and takes.
#[derive(Debug, Default)]
struct Delta {
    keys_more: u64,
    keys_less: u64,
    bytes_more: u64,
    bytes_less: u64,
}

impl Delta {
    fn count(&mut self, old: Option<u64>, new: Option<u64>) {
        self.bytes_less += old.unwrap_or(0);
        self.bytes_more += new.unwrap_or(0);
        self.keys_less += u64::from(old.is_some());
        self.keys_more += u64::from(new.is_some());
    }
}

/// What all buckets hold, and what one of them does.
#[derive(Debug, Default)]
struct Totals {
    buckets: u64,
    keys: u64,
    bytes: u64,
    own: (u64, u64),
}

impl Totals {
    fn read(
        held: &impl ReadableTable<&'static str, (u64, u64)>,
        bucket: &str,
    ) -> Result<Self, redb::Error> {
        let mut totals = Self::default();
        for row in held.iter()? {
            let (name, row) = row?;
            let (keys, bytes) = row.value();
            totals.buckets += 1;
            totals.keys += keys;
            totals.bytes += bytes;
            if name.value() == bucket {
                totals.own = (keys, bytes);
            }
        }
        Ok(totals)
    }

    fn check(&self, delta: &Delta, bounds: Bounds) -> Result<(), Refusal> {
        let more = delta.bytes_more.saturating_sub(delta.bytes_less);
        if more > 0 && self.bytes + more > bounds.bytes {
            return Err(Refusal::Full { held: self.bytes, more, most: bounds.bytes });
        }
        let keys = delta.keys_more.saturating_sub(delta.keys_less);
        if keys > 0 && self.keys + keys > KEYS {
            return Err(Refusal::Keys);
        }
        if keys > 0 && self.own.0 == 0 && self.buckets >= BUCKETS {
            return Err(Refusal::Buckets);
        }
        Ok(())
    }

    fn keep(
        &self,
        delta: &Delta,
        held: &mut Table<'_, &'static str, (u64, u64)>,
        bucket: &str,
    ) -> Result<(), redb::Error> {
        let keys = self.own.0 + delta.keys_more - delta.keys_less;
        let bytes = self.own.1 + delta.bytes_more - delta.bytes_less;
        if keys == 0 {
            held.remove(bucket)?;
        } else {
            held.insert(bucket, (keys, bytes))?;
        }
        Ok(())
    }
}
