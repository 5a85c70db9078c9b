//! Who is answered.

use super::*;
use crate::serving::http::router;
use crate::serving::transport::{Admin, BearerToken};

fn status(server: &Running, path: &str, authorization: &str) -> (u16, Option<String>, String) {
    let method = if path.ends_with("/unload") || path.ends_with("/index") {
        "POST"
    } else {
        "GET"
    };
    let mut connection = server.connect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: 7\r\n{authorization}\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let answer = rest(&mut connection);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("x-request-id: 7"), "{answer}");
    let challenge = head
        .lines()
        .find_map(|line| line.strip_prefix("www-authenticate: "));
    let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
    (status, challenge.map(str::to_owned), body.to_owned())
}

#[test]
fn only_who_has_a_token_is_answered() {
    let tokens = BearerToken::new(["first token", "second"]).admin(["for operators"]);
    let options = ServerOptions::default().auth(tokens).admin(Admin::SamePort);
    let server = Running::with_one_model(&options);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let unload = "/v2/repository/models/late/unload";
    for (path, authorization, expected) in [
        ("/v2", String::new(), 401),
        ("/v2", bearer("third"), 401),
        ("/v2", bearer(""), 401),
        ("/v2", bearer("first token "), 200),
        ("/v2", bearer("first"), 401),
        ("/v2", "Authorization: Basic second\r\n".to_owned(), 401),
        ("/v2", "Authorization: bearer second\r\n".to_owned(), 200),
        ("/v2", bearer("for operators"), 200),
        ("/v2/models/late", bearer("second"), 200),
        ("/metrics", String::new(), 401),
        ("/nowhere", String::new(), 401),
        ("/v2/health/ready", String::new(), 200),
        ("/v2/health/live", bearer("third"), 200),
        ("/v2/repository/index", bearer("second"), 200),
        (unload, bearer("second"), 403),
        (unload, String::new(), 401),
        (unload, bearer("for operators"), 200),
    ] {
        let (status, challenge, body) = status(&server, path, &authorization);
        assert_eq!(status, expected, "{path} {authorization}");
        assert_eq!(challenge.is_some(), status == 401, "{challenge:?}");
        if expected > 400 {
            assert!(body.starts_with(r#"{"error":"#), "{body}");
            assert!(!body.contains("third"));
        }
    }
}

#[test]
fn tokens_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        "# for the shop\nlong-enough\n\nadmin: for-operators\n",
    )
    .unwrap();
    let server = Running::with_one_model(&ServerOptions::default().token_file(file.path()));
    assert_eq!(status(&server, "/v2", "").0, 401);
    let token = "Authorization: Bearer long-enough\r\n";
    assert_eq!(status(&server, "/v2", token).0, 200);

    for (text, problem) in [
        ("", "has no token"),
        ("# only\n", "has no token"),
        ("long-enough\nshort\n", "line 2"),
        ("\u{feff}short-but-long-enough\n", "line 1"),
        ("ADMIN: short-but-long-enough\n", "line 1"),
        ("admin : short-but-long-enough\n", "line 1"),
        ("long-enough\nshort, but with words\n", "line 2"),
        ("short-but-long-enough\u{a0}\n", "line 1"),
        ("admin: short", "line 1"),
    ] {
        fs::write(file.path(), text).unwrap();
        let error = BearerToken::from_file(file.path()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        assert!(error.to_string().contains(problem), "{error}");
        assert!(!error.to_string().contains("short"), "{error}");
    }
    let error = BearerToken::from_file("/not/there").unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::NotFound);
    let twice = ServerOptions::default()
        .auth(BearerToken::new(["a"]))
        .token_file("b");
    assert!(twice.check().is_err());
}

#[test]
fn tokens_are_a_layer_over_any_router() {
    let tokens = BearerToken::new(["only one"]).open(["/open/", "/v2/health/ready"]);
    assert!(!format!("{tokens:?}").contains("only one"));
    let server = Running::routed(|core| {
        router(core)
            .route("/open/page", axum::routing::get(async || "open"))
            .layer(tokens)
    });
    let token = "Authorization: Bearer only one\r\n";
    assert_eq!(status_of(&server, "/v2", ""), 401);
    assert_eq!(status_of(&server, "/v2", token), 200);
    assert_eq!(status_of(&server, "/open/page", ""), 200);
    assert_eq!(status_of(&server, "/v2/health/ready", ""), 200);
    assert_eq!(status_of(&server, "/v2/health/live", ""), 401);
    // gRPC has its own way to say no.
    let grpc = "Content-Type: application/grpc+proto\r\n";
    let answer = answer_of(&server, "/inference.GRPCInferenceService/ServerLive", grpc);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("grpc-status: 16"), "{answer}");
}

fn answer_of(server: &Running, path: &str, headers: &str) -> String {
    let mut connection = server.connect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    rest(&mut connection)
}

fn status_of(server: &Running, path: &str, headers: &str) -> u16 {
    answer_of(server, path, headers)["HTTP/1.1 ".len()..][..3]
        .parse()
        .unwrap()
}

#[test]
fn who_has_no_token_is_told_no_paths() {
    let tokens = BearerToken::new(["a-long-token"]);
    let server = Running::with(&ServerOptions::default().auth(tokens), |root| {
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
        fs::write(root.join("late/1/manifest.json"), "{}").unwrap();
    });
    let path = server.models.path().display().to_string();
    let (code, _, body) = status(&server, "/v2/health/ready", "");
    assert_eq!(code, 503);
    assert!(!body.contains(&path) && body.contains("`late`"), "{body}");
    let wrong = "Authorization: Bearer another-token\r\n";
    assert!(!status(&server, "/v2/health/ready", wrong).2.contains(&path));
    let known = "Authorization: Bearer a-long-token\r\n";
    let (code, _, body) = status(&server, "/v2/health/ready", known);
    assert_eq!(code, 503);
    assert!(body.contains(&path), "{body}");
}
