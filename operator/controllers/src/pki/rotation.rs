//! When the authority is replaced, and in which steps: pods learn of the next one long before it signs, and trust the
//! previous one long after it did.

use jiff::{SignedDuration, Timestamp};

use super::authority::{Authority, Material};
use super::{Error, Generations};

/// An authority signs for so long.
const TERM: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Mounted certificates follow their `ConfigMap` within minutes; a node that was away for a while is given this long.
const SPREAD: SignedDuration = SignedDuration::from_hours(24);

/// The next step that is due, if one is.
///
/// # Errors
///
/// [`Error::Certificate`] if there is no randomness.
pub(super) fn due(kept: &Generations, now: Timestamp) -> Result<Option<Generations>, Error> {
    let age = now.duration_since(kept.since);
    let step = match (&kept.next, &kept.previous) {
        (Some(next), _) if age >= SPREAD => Generations {
            current: next.clone(),
            next: None,
            previous: Some(kept.current.certificate.clone()),
            since: now,
        },
        (None, Some(_)) if age >= SPREAD => Generations { previous: None, ..kept.clone() },
        (None, None) if age >= TERM => Generations {
            next: Some(Authority::make()?.material().clone()),
            since: now,
            ..kept.clone()
        },
        _ => return Ok(None),
    };
    Ok(Some(step))
}

impl Generations {
    /// The first authority of a cluster.
    pub(super) const fn first(current: Material, since: Timestamp) -> Self {
        Self { current, next: None, previous: None, since }
    }

    /// What pods are to trust, in PEM: all that signs, will sign or has signed until lately.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| next.certificate.as_str());
        let all = [Some(self.current.certificate.as_str()), next, self.previous.as_deref()];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    fn material() -> Material {
        Authority::make().unwrap().material().clone()
    }

    #[test]
    fn whatever_signs_is_trusted_a_day_before_and_a_day_after() {
        let first = Generations::first(material(), at(0));
        let old = first.current.certificate.clone();
        assert_eq!(due(&first, at(90 * 24 - 1)).unwrap(), None);

        let announced = due(&first, at(90 * 24)).unwrap().unwrap();
        let new = announced.next.clone().unwrap();
        assert_eq!(announced.current, first.current, "the old one signs on");
        assert_eq!(announced.bundle(), format!("{old}{}", new.certificate));
        assert_eq!(due(&announced, at(90 * 24 + 23)).unwrap(), None);

        let promoted = due(&announced, at(91 * 24)).unwrap().unwrap();
        assert_eq!(promoted.current, new);
        assert_eq!(promoted.bundle(), format!("{}{old}", new.certificate));
        assert_eq!(due(&promoted, at(91 * 24 + 23)).unwrap(), None);

        let retired = due(&promoted, at(92 * 24)).unwrap().unwrap();
        assert_eq!(retired.bundle(), new.certificate);
        assert_eq!(due(&retired, at(180 * 24)).unwrap(), None, "its own term began when it signed");
        assert!(due(&retired, at(181 * 24)).unwrap().is_some());
    }
}
