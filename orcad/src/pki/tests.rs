//! The authority and identities on disk, what is issued, and what is read of certificates that nobody vouches for.

use std::sync::LazyLock;

use orca_api::id::{CertificateId, ClusterId, NodeId, RawId, SeededIds};
use orca_api::join::CertRole;
use orca_api::node::Role;
use orca_api::units::{Span, Time};
use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension, DnType, IsCa, KeyPair, SanType};

use super::ca::{Ca, CaError, Issued};
use super::certificate::{CertificateError, Identity, KeyDigest, LIFETIME, PeerIdentity, Standing};
use super::identity::{self, About, IdentityError, NodeIdentity, PrivateKey};
use super::pem;

const T0: Time = Time::from_ms(1_764_000_000_000);

fn cluster(n: u64) -> ClusterId {
    ClusterId::fresh(&mut SeededIds(n))
}

fn node(n: u64) -> NodeId {
    NodeId::fresh(&mut SeededIds(n))
}

fn serial(bytes: [u8; 10]) -> CertificateId {
    CertificateId::from_raw(RawId::from_bytes(bytes))
}

fn issue(ca: &Ca, role: CertRole, n: u64) -> (PrivateKey, Issued) {
    let (key, request) = identity::request().unwrap();
    let who = Identity::of_node(ca.cluster(), role, node(n));
    (key, ca.issue(&request, &who, serial([9; 10]), T0, LIFETIME).unwrap())
}

fn about(ca: &Ca, n: u64) -> About {
    let managers = vec!["10.0.0.1:7443".to_owned()];
    About::new(ca.cluster(), node(n), vec![Role::Worker], "n1".parse().unwrap(), managers)
}

fn der(chain: &str) -> Vec<u8> {
    pem::certificates(chain).unwrap()[0].to_vec()
}

#[test]
fn an_authority_is_the_same_after_a_restart_and_of_one_cluster() {
    let state = tempfile::tempdir().unwrap();
    assert!(Ca::load(state.path()).unwrap().is_none());
    let made = Ca::load_or_create(state.path(), cluster(1), T0).unwrap();
    let again = Ca::load_or_create(state.path(), cluster(1), T0).unwrap();
    assert_eq!((made.digest(), made.bundle()), (again.digest(), again.bundle()));
    assert!(matches!(Ca::load_or_create(state.path(), cluster(2), T0), Err(CaError::OtherCluster { .. })));
    let copy = Ca::from_bytes(&made.to_bytes()).unwrap();
    assert_eq!(copy.digest(), made.digest());
    assert!(!format!("{made:?}").contains("PRIVATE"));
    let der = der(&made.bundle());
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    let years = (read.validity().not_after.timestamp() - T0.ms() / 1000) / (365 * 86_400);
    assert!(read.is_ca() && read.validity().not_before.timestamp() == 0 && years >= 30, "{years}");
}

#[test]
fn files_that_do_not_belong_together_are_told() {
    let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Ca::load_or_create(other.path(), cluster(1), T0).unwrap();
    for (file, from) in
        [("key.pem", Some("key.pem")), ("ca.pem", Some("ca.pem")), ("cluster", None), ("key.pem", None)]
    {
        let _ = std::fs::remove_dir_all(state.path().join("ca"));
        Ca::load_or_create(state.path(), cluster(1), T0).unwrap();
        let content =
            from.map_or(b"x".to_vec(), |from| std::fs::read(other.path().join("ca").join(from)).unwrap());
        std::fs::write(state.path().join("ca").join(file), content).unwrap();
        assert!(matches!(Ca::load(state.path()), Err(CaError::Files(_))), "{file}");
        std::fs::remove_file(state.path().join("ca").join(file)).unwrap();
        assert!(matches!(Ca::load(state.path()), Err(CaError::Folder(_))), "{file}");
    }
}

#[test]
fn of_a_request_only_the_key_counts() {
    let ca = Ca::create(cluster(1), T0).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::new(vec!["manager.orca".to_owned()]).unwrap();
    greedy.distinguished_name.push(DnType::CommonName, "root");
    greedy.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let uri = Identity::of_node(ca.cluster(), CertRole::Manager, node(3)).uri();
    greedy.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    let request = greedy.serialize_request(&key).unwrap().pem().unwrap();
    let who = Identity::of_node(ca.cluster(), CertRole::Worker, node(4));
    let issued = ca.issue(&request, &who, serial([0, 0, 0x80, 1, 2, 3, 4, 5, 6, 7]), T0, LIFETIME).unwrap();
    assert_eq!(issued.facts.who, who);
    assert_eq!(issued.facts.certificate, serial([0, 0, 0x80, 1, 2, 3, 4, 5, 6, 7]));
    let plain = CertificateParams::default().self_signed(&key).unwrap();
    assert_eq!(issued.facts.key, KeyDigest::of_certificate(plain.der()).unwrap());
    assert_eq!(issued.facts.not_before, Time::from_ms(T0.ms() - 3_600_000));
    assert_eq!(issued.facts.not_after, T0.plus(LIFETIME));
    let again = Identity::of_node(cluster(2), CertRole::Worker, node(4));
    assert!(matches!(
        ca.issue(&request, &again, serial([1; 10]), T0, LIFETIME),
        Err(CaError::OtherCluster { .. })
    ));
}

#[test]
fn what_is_no_request_is_refused() {
    let ca = Ca::create(cluster(1), T0).unwrap();
    let who = Identity::of_node(ca.cluster(), CertRole::Worker, node(4));
    let of = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default().serialize_request(&key).unwrap()
    };
    let good = of(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut forged = good.pem().unwrap();
    let at = forged.len() - 60;
    let swapped = if forged.as_bytes()[at] == b'A' { "B" } else { "A" };
    forged.replace_range(at..=at, swapped);
    let mut custom = CertificateParams::default();
    custom.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]));
    let custom = custom.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    for bad in [
        of(&rcgen::PKCS_ED25519).pem().unwrap(),
        of(&rcgen::PKCS_ECDSA_P384_SHA384).pem().unwrap(),
        forged,
        custom,
        String::new(),
        "x".repeat(super::ca::REQUEST_BYTES_MAX + 1),
        ca.bundle(),
    ] {
        let told = ca.issue(&bad, &who, serial([1; 10]), T0, LIFETIME);
        assert!(matches!(told, Err(CaError::Request(_))), "{told:?} of {bad}");
    }
    ca.issue(&good.pem().unwrap(), &who, serial([1; 10]), T0, LIFETIME).unwrap();
}

#[test]
fn any_clock_can_issue() {
    for now in [i64::MIN, 0, T0.ms(), 253_402_300_799_999, i64::MAX] {
        let now = Time::from_ms(now);
        let ca = Ca::create(cluster(1), now).unwrap();
        let (_, request) = identity::request().unwrap();
        let who = Identity::of_node(ca.cluster(), CertRole::Worker, node(4));
        ca.issue(&request, &who, serial([1; 10]), now, Span::from_ms(u64::MAX)).unwrap();
        ca.rotated(now).unwrap();
    }
}

#[test]
fn a_rotation_is_two_steps_on_disk() {
    let state = tempfile::tempdir().unwrap();
    let first = Ca::load_or_create(state.path(), cluster(1), T0).unwrap();
    first.rotated(T0).unwrap().save(state.path()).unwrap();
    let rotating = Ca::load(state.path()).unwrap().unwrap();
    assert!(rotating.is_rotating() && matches!(rotating.rotated(T0), Err(CaError::Rotating)));
    assert_ne!(rotating.digest(), first.digest());
    for digest in [first.digest(), rotating.digest()] {
        assert!(identity::bundle_holds(&rotating.bundle(), digest).unwrap());
    }
    assert_eq!(Ca::from_bytes(&rotating.to_bytes()).unwrap().bundle(), rotating.bundle());
    rotating.settled().save(state.path()).unwrap();
    let settled = Ca::load(state.path()).unwrap().unwrap();
    assert_eq!((settled.is_rotating(), settled.digest()), (false, rotating.digest()));
    assert!(!identity::bundle_holds(&settled.bundle(), first.digest()).unwrap());
    settled.rotated(T0).unwrap();
}

#[test]
fn an_identity_is_whole_or_refused() {
    let state = tempfile::tempdir().unwrap();
    let ca = Ca::create(cluster(1), T0).unwrap();
    assert!(NodeIdentity::load(state.path()).unwrap().is_none());
    let (key, issued) = issue(&ca, CertRole::Worker, 1);
    let made = NodeIdentity::new(about(&ca, 1), key.clone(), issued.chain.clone(), ca.bundle()).unwrap();
    made.save(state.path(), None).unwrap();
    let read = NodeIdentity::load(state.path()).unwrap().unwrap();
    assert_eq!((&read.about, &read.facts, read.chain()), (&made.about, &issued.facts, made.chain()));
    // A renewal: another key and certificate of the same node, and never anybody else's.
    let (key2, issued2) = issue(&ca, CertRole::Worker, 1);
    let managers = vec!["m:7443".to_owned()];
    let renewed = read.renewed(key2.clone(), issued2.chain.clone(), ca.bundle(), managers.clone()).unwrap();
    renewed.save(state.path(), None).unwrap();
    assert_eq!(NodeIdentity::load(state.path()).unwrap().unwrap().about.managers, managers);
    let (stranger, of_stranger) = issue(&ca, CertRole::Worker, 2);
    let (boss, of_boss) = issue(&ca, CertRole::Manager, 1);
    let part = |told: Result<NodeIdentity, IdentityError>| {
        assert!(matches!(told, Err(IdentityError::Part { .. })), "{told:?}");
    };
    part(read.renewed(stranger, of_stranger.chain, ca.bundle(), Vec::new()));
    part(read.renewed(boss, of_boss.chain, ca.bundle(), Vec::new()));
    part(read.renewed(key.clone(), issued2.chain.clone(), ca.bundle(), Vec::new()));
    part(read.renewed(key2, issued2.chain, String::new(), Vec::new()));
    part(read.renewed(PrivateKey::from_pem("x".to_owned()), issued.chain, ca.bundle(), Vec::new()));
    // Into another cluster, and the former one is kept.
    let other = Ca::create(cluster(2), T0).unwrap();
    let (key, issued) = issue(&other, CertRole::Worker, 5);
    NodeIdentity::new(about(&other, 5), key, issued.chain, other.bundle())
        .unwrap()
        .save(state.path(), Some("7"))
        .unwrap();
    assert!(state.path().join("identity.old-7/key.pem").exists());
    std::fs::remove_file(state.path().join("identity/cas.pem")).unwrap();
    let told = NodeIdentity::load(state.path()).unwrap_err();
    assert!(told.to_string().contains("cas.pem"), "{told}");
    let aside = identity::archive(state.path(), "8").unwrap().unwrap();
    assert!(aside.ends_with("identity.old-8") && NodeIdentity::load(state.path()).unwrap().is_none());
}

/// A certificate that says what it likes, signed by itself.
fn of_names(names: Vec<SanType>, ca: IsCa, serial: &[u8]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.is_ca = ca;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(serial));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn names_are_read_strictly() {
    let who = Identity::of_node(cluster(1), CertRole::Worker, node(1));
    let uri = |text: &str| SanType::URI(text.to_owned().try_into().unwrap());
    let dns = |text: &str| SanType::DnsName(text.to_owned().try_into().unwrap());
    let read = |names| PeerIdentity::read(&of_names(names, IsCa::NoCa, &[7])).map(|facts| facts.who);
    assert_eq!(read(vec![uri(&who.uri()), dns("worker.orca")]), Ok(who));
    let names = Err(CertificateError::Names);
    assert_eq!(read(vec![]), names);
    assert_eq!(read(vec![uri(&who.uri())]), names);
    assert_eq!(read(vec![dns("worker.orca")]), names);
    assert_eq!(read(vec![uri(&who.uri()), dns("manager.orca")]), names);
    assert_eq!(read(vec![uri(&who.uri()), dns("worker.orca"), dns("manager.orca")]), names);
    assert_eq!(read(vec![uri(&who.uri()), uri(&who.uri()), dns("worker.orca")]), names);
    let ip = SanType::IpAddress("10.0.0.1".parse().unwrap());
    assert_eq!(read(vec![uri(&who.uri()), dns("worker.orca"), ip]), names);
    for bad in [
        who.uri().to_lowercase(),
        format!("{}/", who.uri()),
        format!("{}?x", who.uri()),
        who.uri().replace("orca://", "http://"),
        who.uri().replace("worker", "Worker"),
        who.uri().replace("worker", "root"),
        "orca://".to_owned(),
    ] {
        assert_eq!(read(vec![uri(&bad), dns("worker.orca")]), Err(CertificateError::Uri), "{bad}");
    }
    let good = || vec![uri(&who.uri()), dns("worker.orca")];
    let authority = of_names(good(), IsCa::Ca(rcgen::BasicConstraints::Unconstrained), &[7]);
    assert_eq!(PeerIdentity::read(&authority), Err(CertificateError::Authority));
    assert_eq!(PeerIdentity::read(&of_names(good(), IsCa::NoCa, &[1; 11])), Err(CertificateError::Serial));
    assert_eq!(PeerIdentity::read(&[0x30; 9000]), Err(CertificateError::TooLarge(9000)));
    let admin = Identity { role: CertRole::Admin, ..who };
    assert_eq!((Identity::from_uri(&admin.uri()), admin.node()), (Ok(admin), None));
}

#[test]
fn dates_are_within_both_ends() {
    let ca = Ca::create(cluster(1), T0).unwrap();
    let facts = issue(&ca, CertRole::Worker, 1).1.facts;
    let at = |ms: i64| facts.standing(Time::from_ms(ms));
    let (from, to) = (facts.not_before.ms(), facts.not_after.ms());
    assert_eq!((at(from), at(to)), (Standing::Valid, Standing::Valid));
    assert_eq!(at(from - 1), Standing::NotYetValid { by: Span::from_ms(1) });
    assert_eq!(at(to + 5), Standing::Expired { by: Span::from_ms(5) });
}

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let ca = Ca::create(cluster(1), T0).unwrap();
    der(&issue(&ca, CertRole::Manager, 1).1.chain)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_certificate_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: Option<prop::sample::Index>) {
        let mut der = GOOD.clone();
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()));
        }
        let _ = PeerIdentity::read(&der);
        let _ = KeyDigest::of_certificate(&der);
    }

    #[test]
    fn no_text_panics(text in "(orca://)?.{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Identity::from_uri(&text);
        let _ = pem::certificates(&text);
        let _ = Ca::from_bytes(&bytes);
        let _ = PeerIdentity::read(&bytes);
    }
}
