//! A cluster in this process under an application's own client: cut off, slowed down, restarted, dropped.

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use quoit_client::Client;
    use quoit_local::{ClusterError, ClusterSettings, InProcessCluster};

    async fn client(cluster: &InProcessCluster) -> Client {
        let builder = Client::builder().profile(cluster.client_profile());
        builder.connect().await.unwrap()
    }

    #[tokio::test]
    async fn a_cut_node_is_missed_until_it_is_healed() {
        let settings = ClusterSettings::for_tests(3).proxied();
        let cluster = InProcessCluster::start(&settings).await.unwrap();
        let client = client(&cluster).await;
        cluster.proxy(1).unwrap().cut();
        assert!(client.put("k", "v").w(3).await.is_err());
        assert!(client.put("k", "v").await.is_ok());
        assert!(cluster.proxy(1).unwrap().counts().lost > 0);

        cluster.proxy(1).unwrap().heal();
        let begin = Instant::now();
        while client.put("k", "v").w(3).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(25));
        }
        client.close().await;
        cluster.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn a_named_folder_keeps_its_data_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = ClusterSettings::for_tests(1);
        settings.local.replication = 1;
        settings.folder = Some(folder.path().join("cluster"));
        settings.node_settings = "max_hint_bytes = 0\n".to_owned();
        for written in [false, true] {
            let cluster = InProcessCluster::start(&settings).await.unwrap();
            assert!(matches!(
                cluster.proxy(0),
                Err(ClusterError::NoProxy { .. })
            ));
            let client = client(&cluster).await;
            assert_eq!(client.get("k").await.unwrap().is_absent(), !written);
            client.put("k", "v").await.unwrap();
            client.close().await;
            cluster.shut_down().await.unwrap();
        }
        let provisioned = folder.path().join("cluster/node-1/node.toml");
        let text = std::fs::read_to_string(provisioned).unwrap();
        assert!(!text.contains("max_hint_bytes"), "{text}");
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_dropped_cluster() {
        let mut settings = ClusterSettings::for_tests(1);
        settings.local.replication = 1;
        let cluster = InProcessCluster::start(&settings).await.unwrap();
        let (profile, address) = (cluster.client_profile(), cluster.local().nodes()[0].address);
        drop(cluster);
        assert!(!profile.exists());
        std::net::UdpSocket::bind(address).unwrap();
    }
}
