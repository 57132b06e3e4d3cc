//! Tokens as the recorder used them, the odd ones too.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// Key and secret of the server.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) key: String,
    pub(super) secret: String,
}

/// A token with these grants; `oddity` is the recorder's word for what is wrong with it.
pub(super) fn token(credentials: &Credentials, grants: &Value, oddity: Option<&str>) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let Credentials { key, secret } = credentials;
    let mut claims = json!({"iss": key, "sub": "tester", "nbf": now - 5, "exp": now + 600, "video": grants});
    let mut algorithm = Algorithm::HS256;
    let mut signing_secret = secret.as_str();
    match oddity {
        None => {}
        Some("signature changed") => {
            let good = sign(&claims, algorithm, secret)?;
            let (signed, signature) = good.rsplit_once('.').context("a token has three parts")?;
            let first = if signature.starts_with('A') { 'B' } else { 'A' };
            let rest = signature.get(1..).unwrap_or_default();
            return Ok(format!("{signed}.{first}{rest}"));
        }
        Some("signed with another secret") => signing_secret = "another-secret-that-is-long-enough-too",
        Some("expired 120 s ago") => claims["exp"] = json!(now - 120),
        Some("expired 30 s ago (leeway?)") => claims["exp"] = json!(now - 29),
        Some("nbf 300 s ahead") => claims["nbf"] = json!(now + 300),
        Some("nbf 30 s ahead") => claims["nbf"] = json!(now + 30),
        Some("no nbf, no exp") => claims = json!({"iss": key, "sub": "tester", "video": grants}),
        Some("no sub") => claims = json!({"iss": key, "nbf": now - 5, "exp": now + 600, "video": grants}),
        Some("unknown API key") => claims["iss"] = json!("nokey"),
        Some("not a JWT") => return Ok("not-a-jwt".to_owned()),
        Some("alg none") => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            return Ok(format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims)));
        }
        Some("HS512 with another secret") => {
            algorithm = Algorithm::HS512;
            signing_secret = "another-secret-that-is-long-enough-too";
        }
        Some("HS384 with the right secret") => algorithm = Algorithm::HS384,
        Some(other) => anyhow::bail!("no idea how to make a token of the kind: {other}"),
    }
    sign(&claims, algorithm, signing_secret)
}

fn sign(claims: &Value, algorithm: Algorithm, secret: &str) -> Result<String> {
    Ok(encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
