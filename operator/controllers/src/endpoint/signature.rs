//! Signature checks for tokens, on the TLS library's own cryptography.
//!
//! The API server signs service-account tokens with RSA or ECDSA keys; nothing else is accepted, and nothing is ever
//! signed here.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature as ring_signature;

/// Installed once for the process.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes token checks work in this process; again is harmless.
pub fn install() {
    // Already installed is as good.
    let _ = PROVIDER.install_default();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
#[expect(clippy::wildcard_enum_match_arm, reason = "a scheme that we do not know is refused")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let scheme = match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::ES256 => Scheme::Ecdsa(&ring_signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Ecdsa(&ring_signature::ECDSA_P384_SHA384_FIXED),
        // Shared secrets and schemes that no API server uses.
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(Check { algorithm: *algorithm, scheme, key: key.clone() }))
}

enum Scheme {
    Rsa(&'static ring_signature::RsaParameters),
    Ecdsa(&'static dyn ring_signature::VerificationAlgorithm),
}

struct Check {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verdict = match (&self.scheme, self.key.kind()) {
            (Scheme::Rsa(scheme), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                ring_signature::RsaPublicKeyComponents { n, e }.verify(scheme, message, signature)
            }
            (Scheme::Ecdsa(scheme), DecodingKeyKind::SecretOrDer(point)) => {
                ring_signature::UnparsedPublicKey::new(*scheme, point).verify(message, signature)
            }
            (Scheme::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (Scheme::Ecdsa(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                Err(ring::error::Unspecified)
            }
        };
        verdict.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with OpenSSL: RSA of 2048 bits, SHA-256, over `header.claims`.
    const MODULUS: &str = "ufN-uY0Lrpm3O7P5z4n5PTOkggvXktua6rEVAhSaSp1D_PlUvVhXzOTdJ5-afQv7MpQGdHjNdMtlJY_m-x7jhfXExsjXnNeOl8x8cT7rwMZ7NlNbJdK_jW58dlgz-Tah6TwKGX1jBtUco9MfzO6lmlUhnYVXWLiBgkyhYytRd6myHGjltvpdwvbl3RWbWBYx-pklJVXexTnbRv4Sc8AjqYwYY_N6yqlTALuY_QSw0aRgq4XpsAHQXHNFS6rybXbBS8jRWxYZ_mNt8mZzNmaPH9p_VZiUyLgH1VEYoWgJpy0lFAJGFkHPBfThSzWOBdLjp8Ez1DPmV1ccHzPy3qJDFQ";
    const SIGNATURE: &str = "FdTWLNtS05IzzPp43T1dOnylUBIK11rvFnYW2g1wQ1kaVqIgUI5QQcBmSEnnc2YuY69U9A7YOPxY1JsMzHga5fW9iOo-RkVkscnmGMrFWly5BuAeH7Ih2e5lNBUMLFO379nGzAcuBdKjKZu5nD57lZQEvWi70d7x4ln3l1tL5DJ8VlcaWnSCN9UmJ7-EEGwnxRlQfjX-58Wwz9dhGnnwVLsGAXuJ5db8CumRyqyHeeQRZW3MSHBJIOLY7G3j-Dwnf2Ah_LPXqwzpIl75Pl9dMVD00IIm5_8uhm-ddQ8e520c3Gv52eopFpOh7l4tyLfdpbeJbCpQirwJIWeefTHZmg";

    #[test]
    fn an_rsa_signature_of_another_library_is_good() {
        install();
        let key = DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap();
        let good = |message: &[u8]| {
            jsonwebtoken::crypto::verify(SIGNATURE, message, &key, Algorithm::RS256).unwrap()
        };
        assert!(good(b"header.claims"));
        assert!(!good(b"header.claimz"));
    }

    #[test]
    fn a_shared_secret_is_no_key_of_a_cluster() {
        install();
        let key = DecodingKey::from_secret(b"secret");
        assert!(
            jsonwebtoken::crypto::verify(SIGNATURE, b"header.claims", &key, Algorithm::HS256)
                .is_err()
        );
    }
}
