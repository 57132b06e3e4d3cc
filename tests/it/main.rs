//! Integration tests: real servers on port 0.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

mod http_shell;
