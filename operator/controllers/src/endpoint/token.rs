//! Which pod a token speaks for, from the cluster's published keys alone: works while the API server is away.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Signed with a key that we do not know: perhaps a new one.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// Not a token, a wrong signature, expired, or for another audience.
    #[error("token is not valid: {why}")]
    Invalid {
        /// What is wrong.
        why: String,
    },
    /// A good token, but not bound to a pod.
    #[error("token is not bound to a pod")]
    NotBound,
}

/// Whom a good token speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bearer {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod; reused by its successors.
    pub pod: String,
    /// UID of the pod; what counts.
    pub uid: String,
    /// Service account of the pod.
    pub service_account: String,
}

/// The cluster's keys by id.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: BTreeMap<String, (Algorithm, DecodingKey)>,
}

impl Keyring {
    /// The usable keys of a published set; others are left out.
    #[must_use]
    pub fn of(set: &JwkSet) -> Self {
        let keys = set.keys.iter().filter_map(|key| {
            let id = key.common.key_id.clone()?;
            Some((id, (algorithm(key)?, DecodingKey::from_jwk(key).ok()?)))
        });
        Self { keys: keys.collect() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whom the token speaks for.
    ///
    /// # Errors
    ///
    /// [`Rejection::UnknownKey`] may pass once the keys are read again; the others do not.
    pub fn check(&self, token: &str, audience: &str) -> Result<Bearer, Rejection> {
        let invalid =
            |error: jsonwebtoken::errors::Error| Rejection::Invalid { why: error.to_string() };
        let header = decode_header(token).map_err(invalid)?;
        let (algorithm, key) =
            header.kid.and_then(|id| self.keys.get(&id)).ok_or(Rejection::UnknownKey)?;
        // The key says how it is used, never the token.
        let mut validation = Validation::new(*algorithm);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        validation.validate_nbf = true;
        let claims = decode::<Claims>(token, key, &validation).map_err(invalid)?.claims;
        let bound = claims.kubernetes.ok_or(Rejection::NotBound)?;
        let pod = bound.pod.ok_or(Rejection::NotBound)?;
        Ok(Bearer {
            namespace: bound.namespace,
            pod: pod.name,
            uid: pod.uid,
            service_account: bound.serviceaccount.name,
        })
    }
}

/// How a key is used: what it says, or what its kind implies.
#[expect(clippy::wildcard_enum_match_arm, reason = "a kind of key that we do not know is left out")]
fn algorithm(key: &Jwk) -> Option<Algorithm> {
    match key.common.key_algorithm {
        Some(KeyAlgorithm::RS256) => return Some(Algorithm::RS256),
        Some(KeyAlgorithm::RS384) => return Some(Algorithm::RS384),
        Some(KeyAlgorithm::RS512) => return Some(Algorithm::RS512),
        Some(KeyAlgorithm::ES256) => return Some(Algorithm::ES256),
        Some(KeyAlgorithm::ES384) => return Some(Algorithm::ES384),
        Some(_) => return None,
        None => {}
    }
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some(Algorithm::ES256)
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => {
            Some(Algorithm::ES384)
        }
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Bound>,
}

#[derive(Debug, Deserialize)]
struct Bound {
    namespace: String,
    pod: Option<Named>,
    serviceaccount: Named,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    uid: String,
}

#[cfg(test)]
#[path = "token_tests.rs"]
pub(super) mod tests;
