//! What a first map holds, and every list of members that makes none.

use tempfile::TempDir;

use super::*;
use crate::provision::Authority;

const BITS: u8 = 14;

/// Certificates of `node-1`, `node-2` and `node-3`, and those members.
fn three() -> (TempDir, Vec<NewMember>) {
    let certs = tempfile::tempdir().unwrap();
    let authority = Authority::create(certs.path()).unwrap();
    let members = ["node-1", "node-2", "node-3"].map(|name| {
        authority.issue_node(name).unwrap();
        NewMember::new(name, &format!("{name}.example:7440"), "a")
    });
    (certs, members.to_vec())
}

fn make(certs: &TempDir, members: &[NewMember]) -> Result<FirstMap, MapError> {
    first_map(certs.path(), members, 3, LeafBits::new(BITS).unwrap())
}

#[test]
fn the_first_map_names_its_members_by_their_certificates() {
    let (certs, members) = three();
    let map = make(&certs, &members).unwrap().map;
    assert_eq!((map.epoch, map.replication), (Epoch(1), 3));
    for new in members {
        let member = map.members.iter().find(|m| m.name == new.name).unwrap();
        assert_eq!(member.id, member_id(certs.path(), &new.name).unwrap());
        assert_eq!((&member.address, &member.zone), (&new.address, &new.zone));
        assert_eq!(member.weight, 100);
        assert!(!member.vnodes.is_empty());
    }
    assert!(map.members.is_sorted_by_key(|member| member.id));
}

#[test]
fn two_clusters_of_the_same_nodes_share_no_id_and_no_key() {
    let (certs, members) = three();
    let (a, b) = (
        make(&certs, &members).unwrap(),
        make(&certs, &members).unwrap(),
    );
    assert_ne!(a.map.cluster, b.map.cluster);
    assert_ne!(a.map.token_key, b.map.token_key);
    assert_ne!(a.merkle_key, b.merkle_key);
}

#[test]
fn a_map_comes_back_from_its_file_and_is_not_overwritten() {
    let (certs, members) = three();
    let path = certs.path().join("cluster.map");
    let (first, second) = (
        make(&certs, &members).unwrap(),
        make(&certs, &members).unwrap(),
    );
    write_map(&path, &first).unwrap();
    assert!(matches!(
        write_map(&path, &second),
        Err(MapError::Exists { .. })
    ));
    assert_eq!(read_map(&path).unwrap(), first);
}

#[test]
fn a_file_that_is_no_map_is_refused() {
    let (certs, _members) = three();
    let error = read_map(&certs.path().join("ca.pem")).unwrap_err();
    assert!(matches!(error, MapError::Malformed { .. }), "{error}");
    let error = read_map(&certs.path().join("absent")).unwrap_err();
    assert!(matches!(error, MapError::Read { .. }), "{error}");
}

#[test]
fn addresses_that_cannot_be_dialled_are_refused() {
    let (certs, members) = three();
    for address in [
        "",
        "host",
        "host:",
        ":7440",
        "host:0",
        "host:65536",
        "a b:7440",
    ] {
        let mut members = members.clone();
        members[1].address = address.to_owned();
        let error = make(&certs, &members).unwrap_err();
        assert!(
            matches!(error, MapError::Address { .. }),
            "{address:?}: {error}"
        );
    }
    assert!(is_address("[::1]:7440"));
}

#[test]
fn two_members_at_one_address_are_refused() {
    let (certs, mut members) = three();
    members[2].address = members[0].address.clone();
    let error = make(&certs, &members).unwrap_err().to_string();
    assert!(
        error.starts_with("node-1 and node-3 both have the address"),
        "{error}"
    );
}

#[test]
fn a_member_without_a_nodes_certificate_is_refused() {
    let (certs, members) = three();
    Authority::open(certs.path())
        .unwrap()
        .issue_client("app")
        .unwrap();
    let with = |name: &str| {
        make(
            &certs,
            &[members[0].clone(), NewMember::new(name, "h:1", "a")],
        )
        .unwrap_err()
    };
    assert!(matches!(with("nobody"), MapError::Read { .. }));
    for name in ["app", "ca"] {
        assert!(matches!(with(name), MapError::Certificate { .. }), "{name}");
    }
}

#[test]
fn members_that_make_no_ring_are_refused() {
    let (certs, members) = three();
    assert!(matches!(make(&certs, &[]), Err(MapError::NoMembers)));

    let mut weightless = members.clone();
    weightless[0].weight = 0;
    assert!(matches!(
        make(&certs, &weightless),
        Err(MapError::Members(_))
    ));

    let bits = LeafBits::new(BITS).unwrap();
    let error = first_map(certs.path(), &members, 0, bits).unwrap_err();
    assert!(matches!(error, MapError::Members(_)), "{error}");

    let mut twice = members;
    twice[1].name = twice[0].name.clone();
    assert!(matches!(make(&certs, &twice), Err(MapError::Members(_))));
}
