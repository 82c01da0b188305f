//! Small pods with one fault each.

use serde_json::json;

use super::*;
use crate::resources::check::testing::check_errors;

/// A small valid pod, as it is after defaulting.
pub(super) fn pod() -> Value {
    json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {
        "containers": [{"name": "a", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}],
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30}})
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut pod = pod();
    change(&mut pod);
    check_errors(&validate_pod(&Object::from_value(pod).unwrap()), expected);
}

/// The pod with other values in its spec, at paths of JSON pointers.
#[track_caller]
fn check_spec(changes: Value, expected: &[&str]) {
    check(
        |pod| {
            for (key, value) in changes.as_object().unwrap() {
                pod["spec"][key] = value.clone();
            }
        },
        expected,
    );
}

/// The pod with other values in its container.
#[track_caller]
fn check_container(changes: Value, expected: &[&str]) {
    check(
        |pod| {
            for (key, value) in changes.as_object().unwrap() {
                pod["spec"]["containers"][0][key] = value.clone();
            }
        },
        expected,
    );
}

#[test]
fn a_small_pod_is_valid() {
    check_spec(json!({}), &[]);
}

#[test]
fn a_pod_has_containers_with_names_and_images() {
    check_spec(json!({"containers": []}), &["spec.containers: Required value"]);
    check_container(
        json!({"name": "", "image": ""}),
        &["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
    );
    check_container(
        json!({"image": " i", "imagePullPolicy": "Often"}),
        &[
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
        ],
    );
    check(
        |p| p["spec"]["containers"] = json!([p["spec"]["containers"][0], p["spec"]["containers"][0]]),
        &["spec.containers[1].name: Duplicate value: \"a\""],
    );
    check_spec(
        json!({"ephemeralContainers": [{"name": "e", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]}),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
}

#[test]
fn ports_are_numbers_and_names_of_their_own() {
    check_container(
        json!({"ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP", "name": "w"}, {"containerPort": 70000, "hostPort": 80, "protocol": "TCP", "name": "w"}]}),
        &[
            "spec.containers[0].ports[1].name: Duplicate value: \"w\"",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\"",
        ],
    );
    check(
        |p| {
            p["spec"]["hostNetwork"] = json!(true);
            p["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 81, "protocol": "UDP"}]);
        },
        &[
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
        ],
    );
}

#[test]
fn variables_have_one_source() {
    let at = "spec.containers[0].env[0]";
    check_container(json!({"env": [{"name": "a b", "value": "1"}]}), &[]);
    check_container(json!({"env": [{"value": "1"}]}), &[&format!("{at}.name: Required value")]);
    check_container(
        json!({"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}]}),
        &[&format!("{at}.valueFrom: Invalid value: \"\": may not be specified when `value` is not empty")],
    );
    check_container(
        json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.odd"}}}]}),
        &[&format!(
            "{at}.valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.odd\": error converting fieldPath: field label not supported: metadata.odd"
        )],
    );
    check_container(
        json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['x']"}}}, {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]}),
        &[
            "spec.containers[0].env[1].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
        ],
    );
    check_container(
        json!({"envFrom": [{}]}),
        &["spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
    );
}

#[test]
fn mounts_name_volumes_of_the_pod() {
    check_container(
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        &["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
    );
    let with = |volume: Value, mount: Value| {
        move |p: &mut Value| {
            p["spec"]["volumes"] = json!([volume]);
            p["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
        }
    };
    let dir = json!({"name": "v", "emptyDir": {}});
    check(with(dir.clone(), json!({"name": "v", "mountPath": "/v"})), &[]);
    check(
        with(dir, json!({"name": "v", "mountPath": "/v", "subPath": "/x/../y"})),
        &[
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x/../y\": must be a relative path",
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x/../y\": must not contain '..'",
        ],
    );
    check_spec(json!({"volumes": [{"name": "v"}]}), &["spec.volumes[0]: Required value: must specify a volume type"]);
    check_spec(
        json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
        &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    check_spec(
        json!({"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../p", "mode": 512}]}}]}),
        &[
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"../p\": must not contain '..'",
            "spec.volumes[0].configMap.items[0].mode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ],
    );
}

#[test]
fn a_projected_token_needs_an_account() {
    let volumes = json!([{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}]);
    check_spec(json!({"volumes": volumes, "serviceAccountName": "s", "serviceAccount": "s"}), &[]);
    check_spec(
        json!({"volumes": volumes}),
        &[
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
        ],
    );
}

#[test]
fn requests_stay_below_limits() {
    check_container(json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}}), &[]);
    check_container(
        json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
        &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
    );
    check_container(
        json!({"resources": {"limits": {"example.com/x": "1500m", "odd": "1"}}}),
        &[
            "spec.containers[0].resources.limits[example.com/x]: Invalid value: \"1500m\": must be an integer",
            "spec.containers[0].resources.limits[odd]: Invalid value: \"odd\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.limits[odd]: Invalid value: \"odd\": must be a standard resource for containers",
        ],
    );
    check_container(
        json!({"resources": {"limits": {"hugepages-2Mi": "2Mi"}, "requests": {"hugepages-2Mi": "2Mi"}}}),
        &["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
    );
    check(
        |p| {
            p["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
            p["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
        },
        &[
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
        ],
    );
}

#[test]
fn a_probe_acts_in_one_way() {
    let at = "spec.containers[0].livenessProbe";
    let tcp = json!({"port": 80});
    check_container(json!({"livenessProbe": {"tcpSocket": tcp, "successThreshold": 1}}), &[]);
    check_container(
        json!({"livenessProbe": {"successThreshold": 2}}),
        &[
            &format!("{at}: Required value: must specify a handler type"),
            &format!("{at}.successThreshold: Invalid value: 2: must be 1"),
        ],
    );
    check_container(
        json!({"livenessProbe": {"tcpSocket": tcp, "exec": {"command": ["a"]}, "successThreshold": 1, "periodSeconds": -1}}),
        &[
            &format!("{at}.tcpSocket: Forbidden: may not specify more than 1 handler type"),
            &format!("{at}.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
        ],
    );
    check_container(
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
        ],
    );
}

#[test]
fn policies_are_known_ones() {
    check_spec(
        json!({"restartPolicy": "Sometimes", "dnsPolicy": "None"}),
        &[
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ],
    );
    check_spec(
        json!({"dnsConfig": {"nameservers": ["1.1.1.1", "x"], "options": [{}]}}),
        &[
            "spec.dnsConfig.nameservers[1]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    );
    check_spec(
        json!({"serviceAccountName": "a", "serviceAccount": "b", "activeDeadlineSeconds": 0, "hostname": "a.b"}),
        &[
            "spec.deprecatedServiceAccount: Invalid value: \"b\": must be the same as serviceAccountName: \"a\"",
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            "spec.hostname: Invalid value: \"a.b\": must not contain dots",
        ],
    );
}

#[test]
fn sysctls_have_names_and_leave_the_host_alone() {
    let context = |name: &str| json!({"sysctls": [{"name": name, "value": "1"}]});
    let at = "spec.securityContext.sysctls[0].name";
    for name in ["kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies", "net.ipv4.conf.eth0/1.x"] {
        check_spec(json!({"securityContext": context(name)}), &[]);
    }
    for name in ["foo-", "bar..", "Foo", ""] {
        let mut pod = pod();
        pod["spec"]["securityContext"] = context(name);
        let errors = validate_pod(&Object::from_value(pod).unwrap());
        assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), [at], "{name:?}");
    }
    check_spec(
        json!({"hostNetwork": true, "hostIPC": true, "securityContext": {"sysctls": [{"name": "net/core/x"}, {"name": "kernel.shmall"}]}}),
        &[
            &format!("{at}: Invalid value: \"net/core/x\": may not be specified when 'hostNetwork' is true"),
            "spec.securityContext.sysctls[1].name: Invalid value: \"kernel.shmall\": may not be specified when 'hostIPC' is true",
        ],
    );
}

#[test]
fn security_contexts_do_not_contradict_themselves() {
    check_container(
        json!({"securityContext": {"runAsUser": -1, "procMount": "Unmasked", "seccompProfile": {"type": "Localhost"}}}),
        &[
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
            "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ],
    );
    check_spec(
        json!({"os": {"name": "windows"}, "hostPID": true}),
        &["spec.hostPID: Forbidden: cannot be set for a windows pod"],
    );
}

#[test]
fn tolerations_and_affinities_select() {
    check_spec(
        json!({"tolerations": [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 3}]}),
        &[],
    );
    check_spec(
        json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "v"}, {"key": "a", "tolerationSeconds": 3}]}),
        &[
            "spec.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'",
            "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ],
    );
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    check_spec(
        json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}, "podAffinity": {required: [{"topologyKey": ""}]}}}),
        &[
            &format!(
                "spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
            ),
            &format!("spec.affinity.podAffinity.{required}[0].topologyKey: Required value: can not be empty"),
            &format!(
                "spec.affinity.podAffinity.{required}[0].topologyKey: Invalid value: \"\": name part must be non-empty"
            ),
            &format!(
                "spec.affinity.podAffinity.{required}[0].topologyKey: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ),
        ],
    );
    check_spec(
        json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 1}]}),
        &[
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
        ],
    );
}

#[test]
fn annotations_and_fields_say_the_same() {
    check(
        |p| {
            p["metadata"]["annotations"] = json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined", "controller.kubernetes.io/pod-deletion-cost": "+1"});
            p["spec"]["securityContext"] = json!({"seccompProfile": {"type": "RuntimeDefault"}});
        },
        &[
            "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer",
            "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
        ],
    );
}

#[test]
fn a_template_may_leave_host_ports_open() {
    let mut template = pod();
    template["spec"]["hostNetwork"] = json!(true);
    template["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "protocol": "TCP"}]);
    template["metadata"] = json!({"labels": {"a": "!"}});
    let path = Path::new("spec");
    let errors = validate_pod_template(template.as_object().unwrap(), &path.child("template"));
    assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["spec.template.labels"]);
}
