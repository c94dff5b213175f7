use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const AUDIENCE: &str = "coreward-pods";
/// Far beyond the life of this code.
const NEVER: u64 = 4_000_000_000;

/// A cluster that signs tokens.
pub(in crate::endpoint) struct Cluster {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Cluster {
    pub(in crate::endpoint) fn new() -> Self {
        super::super::signature::install();
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
                .unwrap();
        Self { key, random }
    }

    fn keyring(&self) -> Keyring {
        Keyring::of(&serde_json::from_value(self.published()).unwrap())
    }

    /// What the API server publishes.
    pub(in crate::endpoint) fn published(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let half = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [
            { "kty": "EC", "kid": "k1", "use": "sig", "crv": "P-256", "x": half(&point[1..33]), "y": half(&point[33..]) },
        ] })
    }

    /// A good token of this pod.
    pub(in crate::endpoint) fn token_of(&self, namespace: &str, pod: &str, uid: &str) -> String {
        let mut claims = with("/kubernetes.io/pod", json!({ "name": pod, "uid": uid }));
        claims["kubernetes.io"]["namespace"] = json!(namespace);
        self.token(&header(), &claims)
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "k1", "typ": "JWT" })
}

fn claims() -> Value {
    json!({
        "aud": [AUDIENCE], "exp": NEVER, "nbf": 1, "sub": "system:serviceaccount:coreward-system:coreward-unit",
        "kubernetes.io": {
            "namespace": "coreward-system",
            "pod": { "name": "prover-1", "uid": "u-1" },
            "serviceaccount": { "name": "coreward-unit", "uid": "u-2" },
        },
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut claims = claims();
    *claims.pointer_mut(path).unwrap() = value;
    claims
}

#[test]
fn a_bound_token_names_its_pod() {
    let cluster = Cluster::new();
    let bearer = cluster.keyring().check(&cluster.token(&header(), &claims()), AUDIENCE).unwrap();
    let expected = Bearer {
        namespace: "coreward-system".into(),
        pod: "prover-1".into(),
        uid: "u-1".into(),
        service_account: "coreward-unit".into(),
    };
    assert_eq!(bearer, expected);
}

#[rstest]
#[case::for_another_audience(with("/aud", json!(["https://kubernetes.default.svc"])))]
#[case::expired(with("/exp", json!(1_000_000_000)))]
#[case::not_yet_good(with("/nbf", json!(NEVER)))]
#[case::of_no_pod(with("/kubernetes.io/pod", json!(null)))]
#[case::of_no_cluster(with("/kubernetes.io", json!(null)))]
fn a_token_is_refused(#[case] claims: Value) {
    let cluster = Cluster::new();
    cluster.keyring().check(&cluster.token(&header(), &claims), AUDIENCE).unwrap_err();
}

#[test]
fn a_token_of_another_cluster_is_refused() {
    let token = Cluster::new().token(&header(), &claims());
    assert!(matches!(
        Cluster::new().keyring().check(&token, AUDIENCE),
        Err(Rejection::Invalid { .. })
    ));
}

#[test]
fn an_unknown_key_is_told_apart() {
    let cluster = Cluster::new();
    let token = cluster.token(&json!({ "alg": "ES256", "kid": "k2" }), &claims());
    assert_eq!(cluster.keyring().check(&token, AUDIENCE), Err(Rejection::UnknownKey));
}

#[rstest]
#[case::unsigned(json!({ "alg": "none", "kid": "k1" }))]
#[case::keyed_with_the_public_half(json!({ "alg": "HS256", "kid": "k1" }))]
#[case::another_scheme(json!({ "alg": "RS256", "kid": "k1" }))]
fn the_token_does_not_choose_how_it_is_checked(#[case] header: Value) {
    let cluster = Cluster::new();
    cluster.keyring().check(&cluster.token(&header, &claims()), AUDIENCE).unwrap_err();
}

#[test]
fn nonsense_is_refused() {
    assert!(matches!(
        Cluster::new().keyring().check("nonsense", AUDIENCE),
        Err(Rejection::Invalid { .. })
    ));
}
