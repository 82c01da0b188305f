//! The server binary under real kubectls of several releases: what a user types and what they see.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::server::process::Process;

/// How long one command may take; none of them should need more than a few seconds.
const COMMAND_SECONDS_MAX: u64 = 60;

const MANIFEST: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: session}
data: {colour: blue}
";

/// A running server with everything on, and one kubectl that talks to it.
struct Session {
    kubectl: PathBuf,
    folder: tempfile::TempDir,
    _server: Process,
}

impl Session {
    fn start(kubectl: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
        command.args(["--ephemeral", "--secure-port=0"]);
        command.arg("--cert-dir").arg(at("pki")).arg("--kubeconfig").arg(at("kubeconfig"));
        let server = Process::start(&mut command, &at("coracle.log"));
        let session = Self { kubectl: kubectl.to_owned(), folder, _server: server };
        session.eventually("the server is ready", || session.output(&["get", "--raw=/readyz"]).status.success());
        session
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs kubectl; `timeout` ends one that hangs, with code 124.
    fn output(&self, args: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.arg(COMMAND_SECONDS_MAX.to_string()).arg(&self.kubectl).args(args);
        command.env("KUBECONFIG", self.path("kubeconfig")).env("HOME", self.folder.path());
        command.env("EDITOR", "sed -i s/blue/yellow/").env_remove("KUBE_EDITOR");
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// What a command that must end with `code` prints on either output.
    #[track_caller]
    fn ends(&self, code: i32, line: &str) -> String {
        let output = self.output(&line.split(' ').collect::<Vec<_>>());
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(output.status.code(), Some(code), "{} {line}\n{text}", self.kubectl.display());
        text
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        self.ends(0, line)
    }

    /// A command that prints exactly this, spaces at the ends aside.
    #[track_caller]
    fn prints(&self, line: &str, expected: &str) {
        assert_eq!(self.run(line).trim(), expected, "{} {line}", self.kubectl.display());
    }

    /// A command whose output has these parts.
    #[track_caller]
    fn tells(&self, line: &str, parts: &[&str]) {
        let text = self.run(line);
        for part in parts {
            assert!(text.contains(part), "{} {line}: {part:?} is missing in\n{text}", self.kubectl.display());
        }
    }

    #[expect(clippy::disallowed_methods, reason = "another process is started by real time")]
    fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            if start.elapsed() > Duration::from_secs(COMMAND_SECONDS_MAX) {
                let log = std::fs::read_to_string(self.path("coracle.log")).unwrap_or_default();
                panic!("{}: {what}: not in time; the server says:\n{log}", self.kubectl.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
}

/// The kubectl that upstream's module builds, if it was built.
fn newest() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/upstream/bin/kubectl");
    built.is_file().then_some(built)
}

/// The kubectls of this machine: old, middle and newest, and the one in `PATH` when there is none of these.
#[expect(clippy::disallowed_methods, reason = "which kubectls there are is the machine's to say")]
#[expect(clippy::print_stderr, reason = "whoever runs the test is to know what was not run")]
fn kubectls() -> Vec<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let plain = std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file());
    let plain = plain.and_then(|file| file.canonicalize().ok());
    let beside = |name: &str| {
        let file = plain.as_ref()?.parent()?.join(name);
        file.is_file().then_some(file)
    };
    let wanted = [
        ("kubectl.1.27 beside the kubectl in PATH", beside("kubectl.1.27")),
        ("kubectl.1.30 beside the kubectl in PATH", beside("kubectl.1.30")),
        ("conformance/upstream/bin/kubectl", newest()),
    ];
    for (name, _) in wanted.iter().filter(|(_, file)| file.is_none()) {
        eprintln!("not run: {name} is missing");
    }
    let mut found: Vec<_> = wanted.into_iter().filter_map(|(_, file)| file).collect();
    if found.is_empty() {
        found.extend(plain);
    }
    if found.is_empty() {
        let remedy = "no kubectl is in PATH, nor built by conformance/upstream/build kubectl";
        assert!(std::env::var_os("CI").is_none(), "{remedy}");
        eprintln!("not run: {remedy}");
    }
    found
}

/// Plays a part of a session with each kubectl on a server of its own.
fn with_each(part: impl Fn(&Session)) {
    for kubectl in kubectls() {
        let session = Session::start(&kubectl);
        session.eventually("nodes are ready", || {
            let nodes = session.output(&["get", "nodes", "--no-headers"]).stdout;
            String::from_utf8_lossy(&nodes).lines().filter(|line| line.contains(" Ready ")).count() == 3
        });
        session.prints("create namespace session", "namespace/session created");
        session.run("config set-context --current --namespace=session");
        part(&session);
    }
}

#[test]
fn a_workload_is_rolled_out_looked_at_changed_and_removed() {
    with_each(|session| {
        create_and_look(session);
        change_and_undo(session);
        session.run("delete namespace session --timeout=50s");
        assert!(session.ends(1, "get namespace session").contains("namespaces \"session\" not found"));
    });
}

fn create_and_look(session: &Session) {
    session.prints("create deployment web --image=nginx:1 --replicas=3", "deployment.apps/web created");
    session.tells("rollout status deployment/web --timeout=50s", &["deployment \"web\" successfully rolled out"]);
    session.prints("wait --for=condition=Available deployment/web --timeout=50s", "deployment.apps/web condition met");
    let wide = session.run("get pods -o wide");
    let (head, rows) = wide.split_once('\n').unwrap();
    let columns: Vec<_> = head.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    let expected = ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"];
    assert_eq!(columns, expected);
    assert_eq!(rows.lines().count(), 3, "{wide}");
    for row in rows.lines() {
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!((cells[1], cells[2], cells[3]), ("1/1", "Running", "0"), "{wide}");
        assert!(cells[6].starts_with("node-"), "{wide}");
    }
    // Of one pod: newer releases leave out the events of several.
    let describe = format!("describe {}", session.run("get pods -o name").lines().next().unwrap());
    session.eventually("events are told", || session.run(&describe).contains("Successfully assigned session/web-"));
    let parts = ["Namespace:        session", "Status:           Running", "Controlled By:  ReplicaSet/web-"];
    session.tells(&describe, &parts);
    session.tells(&describe, &["Image:          nginx:1", "PodScheduled                True"]);
    session.tells("get deployment web --subresource=status", &["NAME", "3/3"]);
    session.prints("expose deployment web --port=80", "service/web exposed");
    session.tells("get service web", &["ClusterIP", "80/TCP"]);
    let logs = session.ends(1, "logs deployment/web");
    assert!(logs.to_lowercase().contains("error"), "{logs}");
}

fn change_and_undo(session: &Session) {
    const IMAGE: &str = "get deployment web -o jsonpath={.spec.template.spec.containers[0].image}";
    session.prints("scale deployment web --replicas=2", "deployment.apps/web scaled");
    session.run("rollout status deployment/web --timeout=50s");
    session.prints("get deployment web -o jsonpath={.status.replicas}", "2");
    session.prints("set image deployment/web nginx=nginx:2", "deployment.apps/web image updated");
    session.tells("rollout status deployment/web --timeout=50s", &["successfully rolled out"]);
    session.prints(IMAGE, "nginx:2");
    session.tells("rollout history deployment/web", &["REVISION", "1", "2"]);
    session.prints("rollout undo deployment/web", "deployment.apps/web rolled back");
    session.tells("rollout status deployment/web --timeout=50s", &["successfully rolled out"]);
    session.prints(IMAGE, "nginx:1");
}

#[test]
fn manifests_are_applied_compared_labelled_and_edited() {
    with_each(|session| {
        const COLOUR: &str = "get configmap settings -o jsonpath={.data.colour}";
        session.write("settings.yaml", MANIFEST);
        session.prints("apply -f settings.yaml", "configmap/settings created");
        session.prints("apply -f settings.yaml", "configmap/settings unchanged");
        session.prints("diff -f settings.yaml", "");
        session.write("settings.yaml", &MANIFEST.replace("blue", "green"));
        let difference = session.ends(1, "diff -f settings.yaml");
        assert!(difference.contains("-  colour: blue") && difference.contains("+  colour: green"), "{difference}");
        session.prints("apply -f settings.yaml", "configmap/settings configured");
        session.prints(COLOUR, "green");
        session.write("settings.yaml", MANIFEST);
        session
            .prints("apply --server-side --force-conflicts -f settings.yaml", "configmap/settings serverside-applied");
        session.prints(COLOUR, "blue");
        session.prints("label configmap settings tier=front", "configmap/settings labeled");
        session.prints("get configmap -l tier=front -o name", "configmap/settings");
        // Releases differ in whether it is "annotate" or "annotated".
        session.tells("annotate configmap settings note=kept", &["configmap/settings annotate"]);
        session.prints("get configmap settings -o jsonpath={.metadata.annotations.note}", "kept");
        session.prints("edit configmap settings", "configmap/settings edited");
        session.prints(COLOUR, "yellow");
        session.tells("delete -f settings.yaml", &["configmap \"settings\" deleted"]);
    });
}

#[test]
fn the_api_is_discovered_explained_and_guarded() {
    with_each(|session| {
        let resources = session.run("api-resources");
        let row = resources.lines().find(|line| line.starts_with("deployments ")).unwrap();
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells, ["deployments", "deploy", "apps/v1", "true", "Deployment"]);
        session.tells(
            "explain deployment.spec.replicas",
            &["KIND:       Deployment", "VERSION:    v1", "replicas <integer>"],
        );
        session.prints("auth can-i create pods", "yes");
        let refused = session.ends(1, "auth can-i create pods --as=alice");
        assert!(refused.starts_with("no"), "{refused}");
        let refused = session.ends(1, "get pods --as=alice");
        assert!(refused.contains("pods is forbidden: User \"alice\" cannot list resource \"pods\""), "{refused}");
    });
}
