//! What the folder holds, that opening it again changes nothing, and every mismatch.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::tls::NodeTls;

fn options() -> LocalOptions {
    LocalOptions {
        leaf_bits: LeafBits::new(12).unwrap(),
        ..LocalOptions::default()
    }
}

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("quoit");
    (folder, dir)
}

/// Every file below `dir` with its bytes.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn every_node_finds_its_own_certificate_map_and_address() {
    let (_folder, dir) = fresh();
    let asked = LocalOptions {
        durability: Durability::Buffered,
        memory: 100 << 20,
        ..options()
    };
    let cluster = LocalCluster::create_or_open(&dir, &asked).unwrap();
    assert_eq!(cluster.nodes().len(), 3);
    for node in cluster.nodes() {
        let config = Config::load(&node.config).unwrap();
        assert_eq!(config.listen, node.address);
        assert_eq!(
            (config.durability, config.memory),
            (Durability::Buffered, 100 << 20)
        );
        assert_eq!(
            read_map(&config.map.unwrap()).unwrap(),
            *cluster.first_map()
        );
        assert_eq!(NodeTls::load(&config.tls).unwrap().node(), node.id);
        assert_eq!(config.data, dir.join(&node.name).join("data"));
    }
}

#[test]
fn the_profiles_name_all_nodes_and_the_right_certificates() {
    let (_folder, dir) = fresh();
    let cluster = LocalCluster::create_or_open(&dir, &options()).unwrap();
    for (path, name) in [
        (cluster.client_profile(), "client"),
        (cluster.admin_profile(), "admin"),
    ] {
        let text = std::fs::read_to_string(path).unwrap();
        let profile: toml::Table = toml::from_str(&text).unwrap();
        let seeds: Vec<_> = profile["seeds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s.as_str().unwrap())
            .collect();
        let expected: Vec<_> = cluster
            .nodes()
            .iter()
            .map(|n| n.address.to_string())
            .collect();
        assert_eq!(seeds, expected);
        let tls = profile["tls"].as_table().unwrap();
        assert_eq!(
            tls["certificate"].as_str(),
            Some(&*format!("certs/{name}.pem"))
        );
        for file in tls.values() {
            assert!(dir.join(file.as_str().unwrap()).is_file(), "{file}");
        }
    }
}

#[test]
fn opening_again_finds_the_same_cluster_and_writes_nothing() {
    let (_folder, dir) = fresh();
    let made = LocalCluster::create_or_open(&dir, &options()).unwrap();
    let before = snapshot(&dir);
    let opened = LocalCluster::create_or_open(&dir, &options()).unwrap();
    assert_eq!(opened, made);
    assert_eq!(snapshot(&dir), before);
}

#[test]
fn a_cluster_can_be_moved() {
    let (folder, dir) = fresh();
    let made = LocalCluster::create_or_open(&dir, &options()).unwrap();
    let moved = folder.path().join("moved");
    std::fs::rename(&dir, &moved).unwrap();
    let opened = LocalCluster::create_or_open(&moved, &options()).unwrap();
    assert_eq!(opened.first_map(), made.first_map());
    for node in opened.nodes() {
        NodeTls::load(&Config::load(&node.config).unwrap().tls).unwrap();
    }
}

#[test]
fn asking_for_another_cluster_than_is_there_is_refused() {
    let (_folder, dir) = fresh();
    LocalCluster::create_or_open(&dir, &options()).unwrap();
    let table = [
        (
            LocalOptions {
                nodes: 4,
                ..options()
            },
            "number of nodes",
        ),
        (
            LocalOptions {
                replication: 2,
                ..options()
            },
            "number of copies",
        ),
        (
            LocalOptions {
                ports: Ports::Exactly(vec![1, 2, 3]),
                ..options()
            },
            "ports",
        ),
    ];
    for (asked, expected) in table {
        match LocalCluster::create_or_open(&dir, &asked) {
            Err(LocalError::Differs { what, .. }) => assert_eq!(what, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "precious").unwrap();
    let before = snapshot(folder.path());
    let error = LocalCluster::create_or_open(folder.path(), &options()).unwrap_err();
    assert!(matches!(error, LocalError::NotACluster { .. }), "{error}");
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn a_cluster_that_has_lost_a_file_is_refused_and_left_as_it_is() {
    let (_folder, dir) = fresh();
    let cluster = LocalCluster::create_or_open(&dir, &options()).unwrap();
    std::fs::remove_file(cluster.client_profile()).unwrap();
    let error = LocalCluster::create_or_open(&dir, &options()).unwrap_err();
    assert!(matches!(error, LocalError::NotACluster { .. }), "{error}");
    assert!(dir.join("node-1/data/identity").exists());
}

#[test]
fn a_cluster_that_was_cut_short_anywhere_while_it_was_made_is_made_again() {
    let (_folder, dir) = fresh();
    LocalCluster::create_or_open(&dir, &options()).unwrap();
    let made = [
        "client.toml",
        "node-2/data",
        "node-3",
        "cluster.map",
        "certs",
    ];
    for missing in made {
        drop(unfinished::begin(&dir).unwrap());
        let path = dir.join(missing);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let again = LocalCluster::create_or_open(&dir, &options());
        let again = again.unwrap_or_else(|error| panic!("without {missing}: {error}"));
        assert_eq!(again.nodes().len(), 3);
        assert!(path.exists() && !dir.join("unfinished").exists());
    }
}

#[test]
fn a_cluster_that_another_process_makes_is_left_alone_and_so_is_anybody_elses_mark() {
    let (_folder, dir) = fresh();
    LocalCluster::create_or_open(&dir, &options()).unwrap();
    let made = unfinished::begin(&dir).unwrap();
    let error = LocalCluster::create_or_open(&dir, &options()).unwrap_err();
    assert!(matches!(error, LocalError::BeingMade { .. }), "{error}");
    unfinished::end(made, &dir).unwrap();
    assert_eq!(
        LocalCluster::create_or_open(&dir, &options())
            .unwrap()
            .nodes()
            .len(),
        3
    );

    std::fs::write(dir.join("unfinished"), b"symphony").unwrap();
    let error = LocalCluster::create_or_open(&dir, &options()).unwrap_err();
    assert!(matches!(error, LocalError::NotACluster { .. }), "{error}");
    assert!(dir.join("node-1/data/identity").exists());
}

#[test]
fn a_disk_of_its_own_is_an_empty_folder() {
    let (_folder, dir) = fresh();
    std::fs::create_dir_all(dir.join("lost+found")).unwrap();
    LocalCluster::create_or_open(&dir, &options()).unwrap();
}

#[test]
fn free_ports_are_distinct() {
    let mut addresses = ports::free(20).unwrap();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 20);
}

#[test]
fn ports_are_taken_as_asked_for() {
    let taken = |ports| {
        let asked = LocalOptions { ports, ..options() };
        ports::check(&asked).unwrap();
        let addresses = ports::addresses(&asked).unwrap();
        addresses.iter().map(SocketAddr::port).collect::<Vec<_>>()
    };
    assert_eq!(taken(Ports::From(7440)), [7440, 7441, 7442]);
    assert_eq!(taken(Ports::From(65_533)), [65_533, 65_534, 65_535]);
    assert_eq!(taken(Ports::Exactly(vec![5, 9, 7])), [5, 9, 7]);
}

#[test]
fn options_outside_their_range_are_refused_before_anything_is_made() {
    let (_folder, dir) = fresh();
    let fine = options();
    let table = [
        LocalOptions {
            nodes: 0,
            ..fine.clone()
        },
        LocalOptions {
            nodes: 65,
            ..fine.clone()
        },
        LocalOptions {
            replication: 0,
            ..fine.clone()
        },
        LocalOptions {
            replication: 17,
            ..fine.clone()
        },
        LocalOptions {
            memory: (64 << 20) - 1,
            ..fine.clone()
        },
        LocalOptions {
            ports: Ports::From(0),
            ..fine.clone()
        },
        LocalOptions {
            ports: Ports::From(65_534),
            ..fine.clone()
        },
        LocalOptions {
            ports: Ports::Exactly(vec![1, 2]),
            ..fine.clone()
        },
    ];
    for asked in table {
        let error = LocalCluster::create_or_open(&dir, &asked).unwrap_err();
        assert!(
            matches!(error, LocalError::OutOfRange { .. }),
            "{asked:?}: {error}"
        );
    }
    for ports in [[1, 2, 1], [0, 1, 2]] {
        let asked = LocalOptions {
            ports: Ports::Exactly(ports.to_vec()),
            ..fine.clone()
        };
        let error = LocalCluster::create_or_open(&dir, &asked).unwrap_err();
        assert!(
            matches!(error, LocalError::Port { .. }),
            "{asked:?}: {error}"
        );
    }
    assert!(!dir.exists());
}

#[test]
fn a_node_that_has_left_is_gone_for_good_and_its_files_stay() {
    let (_folder, dir) = fresh();
    let mut cluster = LocalCluster::create_or_open(&dir, &options()).unwrap();
    assert_eq!(LocalCluster::find(&dir).unwrap().unwrap(), cluster);
    cluster.retire("node-2").unwrap();
    cluster.retire("node-2").unwrap();
    let names: Vec<&str> = cluster.nodes().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["node-1", "node-3"]);
    assert_eq!(LocalCluster::find(&dir).unwrap().unwrap(), cluster);
    assert!(dir.join("node-2/data").is_dir());

    let two = LocalOptions {
        nodes: 2,
        ..options()
    };
    assert_eq!(LocalCluster::create_or_open(&dir, &two).unwrap(), cluster);
    let error = LocalCluster::create_or_open(&dir, &options()).unwrap_err();
    assert!(matches!(error, LocalError::Differs { .. }), "{error}");
    let again = NewLocalNode::new("node-2", vec!["127.0.0.1:1".into()]);
    let error = cluster.add(&again).unwrap_err();
    assert!(matches!(error, LocalError::Taken { .. }), "{error}");
    assert_eq!(cluster.free_name(|name| name == "node-4"), "node-5");
}

#[test]
fn a_node_that_nobody_lets_in_is_none_and_its_name_is_tried_again() {
    let (_folder, dir) = fresh();
    let mut cluster = LocalCluster::create_or_open(&dir, &options()).unwrap();
    // Nobody runs.
    let seeds = vec![cluster.nodes()[0].address.to_string()];
    let name = cluster.free_name(|_| false);
    let new = NewLocalNode::new(&name, seeds);
    let error = cluster.add(&new).unwrap_err();
    assert!(matches!(error, LocalError::Join { .. }), "{error}");
    assert_eq!(cluster.nodes().len(), 3);
    assert_eq!(LocalCluster::find(&dir).unwrap().unwrap(), cluster);
    assert_eq!(cluster.free_name(|_| false), name);
}

#[test]
fn profiles_get_other_seeds_and_keep_all_else() {
    let (_folder, dir) = fresh();
    let cluster = LocalCluster::create_or_open(&dir, &options()).unwrap();
    let path = cluster.client_profile();
    let before = std::fs::read_to_string(&path).unwrap() + "# mine\n";
    std::fs::write(&path, &before).unwrap();
    cluster.set_seeds(&["127.0.0.1:9".to_owned()]).unwrap();
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.contains("\nseeds = [\"127.0.0.1:9\"]\n"), "{after}");
    let others = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("seeds"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(&after), others(&before));
}
