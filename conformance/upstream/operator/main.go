// operator is an operator as kubebuilder lays one out: a definition with two versions, webhooks that default, validate
// and convert, a controller with a finalizer, owned objects, status, events and a leader election. It runs its whole life
// against a server and says what it checked.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	extensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"
)

const (
	namespace = "default"
	patience  = 60 * time.Second
)

var (
	kubeconfig = flag.String("of", "", "the kubeconfig of an administrator")
	streams    atomic.Int32
	lists      atomic.Int32
)

func main() {
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	scheme := runtime.NewScheme()
	must(clientgoscheme.AddToScheme(scheme))
	must(extensionsv1.AddToScheme(scheme))
	addToScheme(scheme)
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	must(err)
	admin, err := client.New(config, client.Options{Scheme: scheme})
	must(err)
	certificates, bundle := certificates()
	defer os.RemoveAll(certificates)
	port := freePort()
	url := fmt.Sprintf("https://127.0.0.1:%d", port)

	define(admin, url, bundle)
	own := account(admin, config)
	first := run(own, scheme, port, certificates)
	hook(admin, url, bundle)
	eventually("the operator leads", func() error { return unless(first.leads(), "it does not lead") })
	eventually("the webhook serves", func() error {
		return admin.Create(ctx(), shelf("probe", 1, ""), client.DryRunAll)
	})
	ok("the definition is established, the webhooks serve, the operator leads")

	comesIntoBeing(admin)
	changes(admin)
	isServedInBothVersions(admin)
	isMendedWhenABoardIsLost(admin)
	check(streams.Load() > 0 && lists.Load() == 0, "%d streamed and %d plain lists", streams.Load(), lists.Load())
	ok("its caches began with streamed lists")

	second := run(own, scheme, freePort(), certificates)
	time.Sleep(time.Second)
	check(!second.leads(), "two copies lead")
	// The webhooks of the first end with it.
	unhook(admin)
	first.end()
	eventually("the second copy leads", func() error { return unless(second.leads(), "it does not lead") })
	goesAway(admin)
	second.end()
	ok("another copy took the lead and finished the work")
}

func comesIntoBeing(admin client.Client) {
	made := shelf("one", 3, "")
	must(admin.Create(ctx(), made))
	check(made.Spec.Colour == "green", "the colour is %q", made.Spec.Colour)
	ok("the defaulting webhook sets the colour")
	eventually("three boards", func() error { return filled(admin, "one", 3) })
	var boards corev1.ConfigMapList
	must(admin.List(ctx(), &boards, client.InNamespace(namespace)))
	owned := 0
	for _, board := range boards.Items {
		if owner := metav1.GetControllerOf(&board); owner != nil && owner.UID == made.UID && *owner.BlockOwnerDeletion {
			owned++
		}
	}
	check(owned == 3, "%d boards are owned", owned)
	eventually("an event", func() error {
		var events eventsv1.EventList
		must(admin.List(ctx(), &events, client.InNamespace(namespace)))
		for _, event := range events.Items {
			if event.Reason == "Filled" && event.Regarding.Name == "one" {
				return nil
			}
		}
		return fmt.Errorf("none of %d events", len(events.Items))
	})
	ok("it is reconciled: owned objects, a finalizer, status and an event")
}

func changes(admin client.Client) {
	one := change(admin, "one", func(one *Shelf) { one.Spec.Size = 5 })
	eventually("five boards", func() error { return filled(admin, "one", 5) })
	one = get(admin, "one")
	one.Spec.Colour = "red"
	err := admin.Update(ctx(), one)
	refused(err, `admission webhook "vshelf.example.com" denied the request: a shelf keeps its colour, green`)
	one = get(admin, "one")
	one.Spec.Size = -1
	refused(admin.Update(ctx(), one), `Shelf.shop.example.com "one" is invalid: spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 0`)
	refused(admin.Create(ctx(), shelf("black", 1, "black")), `Shelf.shop.example.com "black" is invalid: spec: Invalid value: no shelf is black`)
	stale := get(admin, "one")
	stale.ResourceVersion = "1"
	stale.Spec.Size = 4
	check(apierrors.IsConflict(admin.Update(ctx(), stale)), "a stale update was taken")
	// Only the status is written there.
	one = get(admin, "one")
	one.Spec.Size = 9
	one.Status.Ready = 5
	must(admin.Status().Update(ctx(), one))
	check(get(admin, "one").Spec.Size == 5, "the status wrote the spec")
	ok("changes are reconciled; what webhook, schema and rule forbid is refused")
}

func isServedInBothVersions(admin client.Client) {
	var old OldShelf
	must(admin.Get(ctx(), client.ObjectKey{Namespace: namespace, Name: "one"}, &old))
	check(old.Spec.Count == 5 && old.Spec.Colour == "green", "in the older version it is %+v", old.Spec)
	old.Spec.Count = 2
	must(admin.Update(ctx(), &old))
	check(get(admin, "one").Spec.Size == 2, "written in the older version it is %+v", get(admin, "one").Spec)
	var all OldShelfList
	must(admin.List(ctx(), &all))
	check(len(all.Items) == 1 && all.Items[0].Spec.Count == 2, "the list in the older version is %+v", all.Items)
	ok("both versions are served, through the conversion webhook")
}

func isMendedWhenABoardIsLost(admin client.Client) {
	must(admin.Delete(ctx(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one-0", Namespace: namespace}}))
	eventually("the board is back", func() error {
		return admin.Get(ctx(), client.ObjectKey{Namespace: namespace, Name: "one-0"}, &corev1.ConfigMap{})
	})
	one := change(admin, "one", func(one *Shelf) { one.Annotations = map[string]string{"locked": "true"} })
	refused(admin.Delete(ctx(), one), "the shelf is locked")
	change(admin, "one", func(one *Shelf) { one.Annotations = nil })
	ok("what is lost is made again; a locked shelf is not deleted")
}

func goesAway(admin client.Client) {
	must(admin.Delete(ctx(), shelf("one", 0, "")))
	eventually("the shelf is gone", func() error {
		err := admin.Get(ctx(), client.ObjectKey{Namespace: namespace, Name: "one"}, &Shelf{})
		return unless(apierrors.IsNotFound(err), fmt.Sprint(err))
	})
	must(admin.Get(ctx(), client.ObjectKey{Namespace: namespace, Name: "farewell-one"}, &corev1.ConfigMap{}))
	eventually("the boards are collected", func() error {
		var boards corev1.ConfigMapList
		must(admin.List(ctx(), &boards, client.InNamespace(namespace)))
		for _, board := range boards.Items {
			if strings.HasPrefix(board.Name, "one-") {
				return fmt.Errorf("%s is there", board.Name)
			}
		}
		return nil
	})
	ok("it is deleted by way of its finalizer, and what it owned is collected")
}

func filled(admin client.Client, name string, size int32) error {
	got := get(admin, name)
	ready := meta.FindStatusCondition(got.Status.Conditions, "Ready")
	if got.Status.Ready < size || ready == nil || ready.ObservedGeneration != got.Generation || len(got.Finalizers) != 1 {
		return fmt.Errorf("%s: %+v of generation %d", name, got.Status, got.Generation)
	}
	return nil
}

func shelf(name string, size int32, colour string) *Shelf {
	return &Shelf{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: ShelfSpec{Size: size, Colour: colour}}
}

func get(admin client.Client, name string) *Shelf {
	var found Shelf
	must(admin.Get(ctx(), client.ObjectKey{Namespace: namespace, Name: name}, &found))
	return &found
}

// change edits a shelf that the operator may be writing too.
func change(admin client.Client, name string, edit func(*Shelf)) *Shelf {
	var changed *Shelf
	must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		changed = get(admin, name)
		edit(changed)
		return admin.Update(ctx(), changed)
	}))
	return changed
}

func refused(err error, words string) {
	check(err != nil && strings.Contains(err.Error(), words), "%q, not %q", fmt.Sprint(err), words)
}

func version(name, count string, storage bool) string {
	return fmt.Sprintf(`
- name: %s
  served: true
  storage: %v
  subresources: {status: {}}
  schema:
    openAPIV3Schema:
      type: object
      properties:
        spec:
          type: object
          required: [%[3]s]
          x-kubernetes-validations:
          - {rule: "!has(self.colour) || self.colour != 'black'", message: no shelf is black}
          properties:
            %[3]s: {type: integer, format: int32, minimum: 0, maximum: 100}
            colour: {type: string}
        status:
          type: object
          properties:
            ready: {type: integer, format: int32}
            conditions:
              type: array
              x-kubernetes-list-type: map
              x-kubernetes-list-map-keys: [type]
              items: {type: object, x-kubernetes-preserve-unknown-fields: true, required: [type], properties: {type: {type: string}}}
`, name, storage, count)
}

func define(admin client.Client, url string, bundle []byte) {
	var definition extensionsv1.CustomResourceDefinition
	must(yaml.Unmarshal([]byte(`
metadata: {name: shelves.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: shelves, singular: shelf, kind: Shelf, listKind: ShelfList}
`), &definition))
	must(yaml.Unmarshal([]byte(version("v1", "size", true)+version("v1beta1", "count", false)), &definition.Spec.Versions))
	address := url + "/convert"
	definition.Spec.Conversion = &extensionsv1.CustomResourceConversion{
		Strategy: extensionsv1.WebhookConverter,
		Webhook: &extensionsv1.WebhookConversion{
			ClientConfig:             &extensionsv1.WebhookClientConfig{URL: &address, CABundle: bundle},
			ConversionReviewVersions: []string{"v1"},
		},
	}
	must(admin.Create(ctx(), &definition))
	eventually("the definition is established", func() error {
		must(admin.Get(ctx(), client.ObjectKeyFromObject(&definition), &definition))
		for _, condition := range definition.Status.Conditions {
			if condition.Type == extensionsv1.Established && condition.Status == extensionsv1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%+v", definition.Status.Conditions)
	})
}

func hook(admin client.Client, url string, bundle []byte) {
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{"CREATE", "UPDATE", "DELETE"},
		Rule:       admissionv1.Rule{APIGroups: []string{storedVersion.Group}, APIVersions: []string{"v1"}, Resources: []string{"shelves"}},
	}}
	none := admissionv1.SideEffectClassNone
	at := func(path string) admissionv1.WebhookClientConfig {
		address := url + path + "-shop-example-com-v1-shelf"
		return admissionv1.WebhookClientConfig{URL: &address, CABundle: bundle}
	}
	defaulting := rules[0].DeepCopy()
	defaulting.Operations = defaulting.Operations[:2]
	must(admin.Create(ctx(), &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "shelves"},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "mshelf.example.com", ClientConfig: at("/mutate"), Rules: []admissionv1.RuleWithOperations{*defaulting},
			SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		}},
	}))
	must(admin.Create(ctx(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "shelves"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "vshelf.example.com", ClientConfig: at("/validate"), Rules: rules,
			SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		}},
	}))
}

func unhook(admin client.Client) {
	name := metav1.ObjectMeta{Name: "shelves"}
	must(admin.Delete(ctx(), &admissionv1.MutatingWebhookConfiguration{ObjectMeta: name}))
	must(admin.Delete(ctx(), &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: name}))
	var definition extensionsv1.CustomResourceDefinition
	must(admin.Get(ctx(), client.ObjectKey{Name: "shelves.shop.example.com"}, &definition))
	definition.Spec.Conversion = &extensionsv1.CustomResourceConversion{Strategy: extensionsv1.NoneConverter}
	must(admin.Update(ctx(), &definition))
}

// account gives the operator a ServiceAccount that may do what it needs, and a token of it.
func account(admin client.Client, config *rest.Config) *rest.Config {
	name := metav1.ObjectMeta{Name: "shelves", Namespace: namespace}
	own := &corev1.ServiceAccount{ObjectMeta: name}
	must(admin.Create(ctx(), own))
	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	must(admin.Create(ctx(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "shelves"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{storedVersion.Group}, Resources: []string{"shelves", "shelves/status", "shelves/finalizers"}, Verbs: all},
			{APIGroups: []string{""}, Resources: []string{"configmaps", "events"}, Verbs: all},
			{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: all},
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: all},
		},
	}))
	must(admin.Create(ctx(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "shelves"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "shelves", Namespace: namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "shelves"},
	}))
	token := &authenticationv1.TokenRequest{}
	must(admin.SubResource("token").Create(ctx(), own, token))
	anonymous := rest.AnonymousClientConfig(config)
	anonymous.BearerToken = token.Status.Token
	anonymous.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next} })
	return anonymous
}

// counter counts how the caches of shelves begin.
type counter struct{ next http.RoundTripper }

func (c counter) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet && strings.HasSuffix(request.URL.Path, "/v1/shelves") {
		query := request.URL.Query()
		switch {
		case query.Get("sendInitialEvents") == "true":
			streams.Add(1)
		case query.Get("watch") == "":
			lists.Add(1)
		}
	}
	return c.next.RoundTrip(request)
}

func ctx() context.Context { return context.Background() }

func unless(fine bool, why string) error {
	if fine {
		return nil
	}
	return fmt.Errorf("%s", why)
}

func eventually(what string, try func() error) {
	until := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			fail("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func ok(what string) { fmt.Println("ok:", what) }

func check(fine bool, format string, values ...any) {
	if !fine {
		fail(format, values...)
	}
}

func must(err error) {
	if err != nil {
		detail := ""
		if status := apierrors.APIStatus(nil); errors.As(err, &status) {
			text, _ := json.Marshal(status.Status())
			detail = string(text)
		}
		panic(fmt.Sprintf("%v %s", err, detail))
	}
}

func fail(format string, values ...any) {
	fmt.Printf("FAILED: "+format+"\n", values...)
	os.Exit(1)
}
