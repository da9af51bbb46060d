//! Specs: what is read, what is refused and how, what is filled in.

use super::*;
use proptest::prelude::*;

fn spec(json: &str) -> Result<TaskSpec, String> {
    crate::text::read_json::<TaskSpec>(json.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn the_smallest_spec_is_an_image() {
    let spec = spec(r#"{"image":"nginx"}"#).unwrap();
    assert_eq!(spec.check(), vec![]);
    assert_eq!(spec.image.full(), "docker.io/library/nginx:latest");
    assert_eq!(spec.image.registry(), "docker.io");
    assert_eq!(spec.image.suggested_name().as_str(), "nginx");
    assert_eq!(spec.restart.condition, RestartCondition::OnFailure);
}

#[test]
fn an_unknown_field_is_named_with_its_neighbour() {
    let error = spec(r#"{"image":"nginx","memry":"1g"}"#).unwrap_err();
    assert!(error.contains("memry") && error.contains("memory"), "{error}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let spec = spec(
        r#"{"image":"nginx","workdir":"x","labels":{"orca.task":"a"},"env":{"1A":"b"},"stop_grace":"6m",
            "memory":"1m","ports":["80:80","0.0.0.0:80:81"],"reserve_memory":"2m","dns":["x"],"constraints":["??"]}"#,
    )
    .unwrap();
    let paths: Vec<_> = spec.check().into_iter().map(|e| e.path).collect();
    assert_eq!(
        paths,
        [
            "env.1A",
            "workdir",
            "labels.orca.task",
            "ports[1]",
            "memory",
            "reserve_memory",
            "stop_grace",
            "dns[0]",
            "constraints[0]"
        ]
    );
}

#[test]
fn wishes_are_read_and_printed_and_refused() {
    for text in ["disk == ssd: 50", "node.name == n3: -100", "rack in a,b: 1", "gpu exists: 100"] {
        assert_eq!(text.parse::<Preference>().map(|p| p.to_string()), Ok(text.to_owned()));
    }
    for bad in ["", "disk == ssd", "disk == ssd: 0", "disk == ssd: 101", "disk == ssd: -101", "??: 5", ": 5"]
    {
        let error = bad.parse::<Preference>().unwrap_err();
        assert!(error.0.contains("disk == ssd: 50"), "how it is written is said: {error}");
    }
    let spec = spec(
        r#"{"image":"nginx","data_centers":["fra1","b c"],"preferences":["a == b: 7","x"],"singleton_wait":"1m"}"#,
    )
    .unwrap();
    let paths: Vec<_> = spec.check().into_iter().map(|e| e.path).collect();
    assert_eq!(paths, ["data_centers[1]", "preferences[1]", "singleton_wait"]);
    let mut good = TaskSpec { singleton: true, preferences: vec!["a == b: 7".to_owned()], ..spec };
    good.data_centers.truncate(1);
    assert_eq!(good.check(), vec![]);
    good.singleton_wait = Some(Span::from_secs(8 * 24 * 3600));
    assert_eq!(good.check()[0].path, "singleton_wait");
    assert!(crate::text::read_json::<TaskSpec>(br#"{"image":"x","singletons":true}"#).is_err());
}

#[test]
fn fields_in_their_text_form() {
    for text in ["80", "8080:80", "127.0.0.1:8080:80", "[::1]:53:53/udp", "127.0.0.1::80"] {
        assert_eq!(text.parse::<Port>().map(|p| p.to_string()), Ok(text.to_owned()));
    }
    for bad in ["", "0", "65536", "a:80", "80:80:80", "1-2:1-2", "80/foo", "80:", "1:2:3:4", "+80"] {
        assert!(bad.parse::<Port>().is_err(), "{bad}");
    }
    for text in ["/a:/b", "/a:/b:ro", "data:/b"] {
        assert_eq!(text.parse::<Mount>().map(|p| p.to_string()), Ok(text.to_owned()));
    }
    for bad in [
        "",
        "/a",
        "/a:b",
        "/a/../b:/c",
        "/a//b:/c",
        "x:/c",
        "-x:/c",
        "/a:/b:z",
        "/a:/",
        "/a:/b:ro:x",
        "/a\n:/b",
    ] {
        assert!(bad.parse::<Mount>().is_err(), "{bad}");
    }
    for text in ["always", "on-failure", "on-failure:5", "never"] {
        assert_eq!(text.parse::<Restart>().map(|p| p.to_string()), Ok(text.to_owned()));
    }
    for bad in ["", "always:3", "on-failure:0", "on-failure:-1", "sometimes"] {
        assert!(bad.parse::<Restart>().is_err(), "{bad}");
    }
    for text in ["TERM", "SIGTERM", "15"] {
        assert_eq!(text.parse::<Signal>(), Ok(Signal::TERM));
    }
    for bad in ["", "0", "99", "SIG", "term"] {
        assert!(bad.parse::<Signal>().is_err(), "{bad}");
    }
    for text in ["disk == ssd", "rack != a", "rack in a,b", "rack not in a,b", "kernel > 6.1", "gpu exists"] {
        assert_eq!(text.parse::<Constraint>().map(|p| p.to_string()), Ok(text.to_owned()));
    }
}

#[test]
fn a_health_check_is_one_of_its_kinds() {
    let check = |json: &str| spec(&format!(r#"{{"image":"nginx","health":{json}}}"#)).map(|s| s.check());
    assert_eq!(check(r#"{"http":"8080/ready","interval":"5s"}"#), Ok(vec![]));
    assert_eq!(check(r#"{"exec":["true"]}"#), Ok(vec![]));
    assert_eq!(check(r#"{"off":true}"#), Ok(vec![]));
    for bad in [
        r"{}",
        r#"{"tcp":0}"#,
        r#"{"tcp":80,"off":true}"#,
        r#"{"tcp":80,"retries":0}"#,
        r#"{"tcp":80,"interval":"10ms"}"#,
    ] {
        assert_eq!(check(bad).unwrap().len(), 1, "{bad}");
    }
    for bad in ["", "/x", "0/", "80 /x", "80/a b", "65536/", "+80/"] {
        assert!(bad.parse::<HttpCheck>().is_err(), "{bad}");
    }
}

#[test]
fn ports_that_clash() {
    let port = |t: &str| t.parse::<Port>().unwrap();
    assert!(port("80:80").clashes(&port("80:81")));
    assert!(port("127.0.0.1:80:80").clashes(&port("80:80")));
    assert!(!port("127.0.0.1:80:80").clashes(&port("127.0.0.2:80:80")));
    assert!(!port("80:80").clashes(&port("80:80/udp")));
    assert!(!port("80").clashes(&port("80")));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        let _ = text.parse::<Port>();
        let _ = text.parse::<Mount>();
        let _ = text.parse::<Tmpfs>();
        let _ = text.parse::<Restart>();
        let _ = text.parse::<Signal>();
        let _ = text.parse::<Constraint>();
        let _ = text.parse::<ImageRef>();
    }

    #[test]
    fn what_was_read_is_written_so_that_it_reads_the_same(
        a in 1u16.., b in 1u16.., udp: bool, address in proptest::option::of(any::<std::net::IpAddr>())
    ) {
        let port = Port { address, host: Some(a), container: b, protocol: if udp { Protocol::Udp } else { Protocol::Tcp } };
        prop_assert_eq!(port.to_string().parse::<Port>(), Ok(port));
    }
}
