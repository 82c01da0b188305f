// informers runs client-go's informers against a Coracle that it starts, kills and starts again, and says what it
// checked. Whether they begin with a streamed list or with a plain one is client-go's own switch:
// KUBE_FEATURE_WatchListClient=true|false.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientfeatures "k8s.io/client-go/features"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	namespace = "default"
	patience  = 60 * time.Second
	objects   = 40
)

var (
	binary  = flag.String("coracle", "", "the server to start")
	content = flag.String("content", "protobuf", "json or protobuf")
)

func main() {
	flag.Parse()
	work, err := os.MkdirTemp("", "informers")
	must(err)
	defer os.RemoveAll(work)
	streamed := clientfeatures.FeatureGates().Enabled(clientfeatures.WatchListClient)
	fmt.Printf("informers over %s, streamed lists: %v\n", *content, streamed)
	followsAndResumes(filepath.Join(work, "kept"), streamed)
	listsAgain(filepath.Join(work, "ephemeral"), streamed)
}

// followsAndResumes: an informer sees the state and every change, and goes on where it was after the server was
// killed.
func followsAndResumes(folder string, streamed bool) {
	server := start(folder, "--data-dir", filepath.Join(folder, "data"))
	defer func() { server.kill() }()
	client, seen := server.client()
	for i := range objects {
		write(client, fmt.Sprintf("first-%02d", i), "1")
	}
	store, stop := follow(client)
	defer stop()
	eventually("the store holds what is there", func() error { return same(client, store) })
	ok("the informer begins with all that is there")

	wantStreams := int32(0)
	if streamed {
		wantStreams = 1
	}
	check(seen.streams.Load() == wantStreams, "it asked %d times for a streamed list", seen.streams.Load())
	check(streamed || seen.lists.Load() == 1, "it listed %d times", seen.lists.Load())
	check(!streamed || seen.lists.Load() == 0, "it listed %d times beside the stream", seen.lists.Load())
	ok("it asked for the list as it should")

	for i := range objects / 4 {
		write(client, fmt.Sprintf("first-%02d", i), "2")
		write(client, fmt.Sprintf("second-%02d", i), "1")
		must(client.CoreV1().ConfigMaps(namespace).Delete(ctx(), fmt.Sprintf("first-%02d", objects-1-i), metav1.DeleteOptions{}))
	}
	eventually("the store follows", func() error { return same(client, store) })
	ok("it follows creations, changes and deletions")

	before := seen.begun()
	server.kill()
	server = server.again()
	other, _ := server.client()
	for i := range objects / 4 {
		write(other, fmt.Sprintf("first-%02d", i), "3")
		write(other, fmt.Sprintf("third-%02d", i), "1")
	}
	must(other.CoreV1().ConfigMaps(namespace).Delete(ctx(), "second-00", metav1.DeleteOptions{}))
	eventually("the store follows after a restart", func() error { return same(other, store) })
	check(seen.begun() == before, "it began anew instead of going on: %d times, before the restart %d", seen.begun(), before)
	ok("after the server was killed and started again it goes on where it was")
}

// listsAgain: an informer that was away for longer than history is kept begins anew.
func listsAgain(folder string, streamed bool) {
	server := start(folder, "--ephemeral")
	defer func() { server.kill() }()
	client, seen := server.client()
	write(client, "kept", "1")
	write(client, "gone", "1")
	store, stop := follow(client)
	defer stop()
	eventually("the store holds what is there", func() error { return same(client, store) })
	before := seen.begun()

	other, _ := server.client()
	seen.cut()
	must(other.CoreV1().ConfigMaps(namespace).Delete(ctx(), "gone", metav1.DeleteOptions{}))
	// More than is kept in memory, of the same type: a watch goes on while recent events of its type are at hand.
	bulk, elsewhere := strings.Repeat("x", 900<<10), other.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	for i := range 48 {
		_, err := elsewhere.Create(ctx(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bulk-%02d", i)},
			Data:       map[string]string{"x": bulk},
		}, metav1.CreateOptions{})
		must(err)
		must(elsewhere.Delete(ctx(), fmt.Sprintf("bulk-%02d", i), metav1.DeleteOptions{}))
	}
	eventually("history is forgotten", func() error {
		stream, err := other.CoreV1().ConfigMaps(namespace).Watch(ctx(), metav1.ListOptions{ResourceVersion: "1"})
		if err != nil {
			return nil
		}
		defer stream.Stop()
		select {
		case event := <-stream.ResultChan():
			if status, isStatus := event.Object.(*metav1.Status); isStatus && status.Code == http.StatusGone {
				return nil
			}
		case <-time.After(time.Second):
		}
		return fmt.Errorf("a watch from revision 1 is still answered")
	})
	seen.mend()
	eventually("the store follows after 410", func() error { return same(other, store) })
	check(seen.begun() > before, "it did not begin anew")
	ok("cut off until its revision is no longer kept it begins anew, and what was deleted meanwhile is gone from its store")
}

// follow runs an informer on ConfigMaps until stopped.
func follow(client kubernetes.Interface) (cache.Store, func()) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	var mutex sync.Mutex
	versions := map[string]string{}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { note(&mutex, versions, obj) },
		UpdateFunc: func(old, obj any) {
			mutex.Lock()
			known := versions[obj.(*corev1.ConfigMap).Name]
			mutex.Unlock()
			check(known == old.(*corev1.ConfigMap).ResourceVersion, "an update came after another state than the last")
			note(&mutex, versions, obj)
		},
	})
	must(err)
	done := make(chan struct{})
	factory.Start(done)
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(cache.WaitForCacheSync(limit.Done(), informer.HasSynced), "the informer did not sync")
	return informer.GetStore(), func() { close(done); factory.Shutdown() }
}

func note(mutex *sync.Mutex, versions map[string]string, obj any) {
	mutex.Lock()
	defer mutex.Unlock()
	versions[obj.(*corev1.ConfigMap).Name] = obj.(*corev1.ConfigMap).ResourceVersion
}

// same compares a store with what the server lists.
func same(client kubernetes.Interface, store cache.Store) error {
	list, err := client.CoreV1().ConfigMaps(namespace).List(ctx(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	listed, stored := map[string]string{}, map[string]string{}
	for _, item := range list.Items {
		listed[item.Name] = item.ResourceVersion + item.Data["x"]
	}
	for _, item := range store.List() {
		stored[item.(*corev1.ConfigMap).Name] = item.(*corev1.ConfigMap).ResourceVersion + item.(*corev1.ConfigMap).Data["x"]
	}
	if !reflect.DeepEqual(listed, stored) {
		return fmt.Errorf("%d are listed, %d are in the store: %v", len(listed), len(stored), difference(listed, stored))
	}
	return nil
}

func difference(a, b map[string]string) map[string]string {
	left := maps.Clone(a)
	maps.DeleteFunc(left, func(name, value string) bool { return b[name] == value })
	return left
}

func write(client kubernetes.Interface, name, value string) {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"x": value}}
	_, err := client.CoreV1().ConfigMaps(namespace).Update(ctx(), object, metav1.UpdateOptions{})
	if err != nil {
		_, err = client.CoreV1().ConfigMaps(namespace).Create(ctx(), object, metav1.CreateOptions{})
	}
	must(err)
}

// traffic counts what an informer asks for, and can cut it off.
type traffic struct {
	next    http.RoundTripper
	lists   atomic.Int32
	streams atomic.Int32
	isCut   atomic.Bool
	mutex   sync.Mutex
	cancels []context.CancelFunc
}

func (t *traffic) begun() int32 { return t.lists.Load() + t.streams.Load() }

func (t *traffic) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	watches := query.Get("watch") != ""
	if t.isCut.Load() {
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("cut off")}
	}
	switch {
	case watches && query.Get("sendInitialEvents") == "true":
		t.streams.Add(1)
	// What this program lists itself has no resourceVersion; a reflector always sends one.
	case request.Method == http.MethodGet && !watches && query.Get("resourceVersion") != "":
		t.lists.Add(1)
	}
	if watches {
		ctx, cancel := context.WithCancel(request.Context())
		t.mutex.Lock()
		t.cancels = append(t.cancels, cancel)
		t.mutex.Unlock()
		request = request.WithContext(ctx)
	}
	return t.next.RoundTrip(request)
}

func (t *traffic) cut() {
	t.isCut.Store(true)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, cancel := range t.cancels {
		cancel()
	}
	t.cancels = nil
}

func (t *traffic) mend() { t.isCut.Store(false) }

// server is a running Coracle.
type server struct {
	folder  string
	port    int
	flags   []string
	process *exec.Cmd
}

func start(folder string, flags ...string) *server {
	must(os.MkdirAll(folder, 0o755))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(listener.Close())
	return (&server{folder: folder, port: port, flags: flags}).again()
}

func (s *server) kubeconfig() string { return filepath.Join(s.folder, "kubeconfig") }

// again starts it, on the same port and with the same data.
func (s *server) again() *server {
	log, err := os.Create(filepath.Join(s.folder, "log"))
	must(err)
	flags := append([]string{
		fmt.Sprintf("--secure-port=%d", s.port), "--kubeconfig", s.kubeconfig(), "--controllers=", "--scheduler=false", "--nodes=0",
	}, s.flags...)
	s.process = exec.Command(*binary, flags...)
	s.process.Stdout, s.process.Stderr = log, log
	must(s.process.Start())
	eventually("the server is ready", func() error {
		config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig())
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx())
		return err
	})
	return s
}

func (s *server) kill() {
	must(s.process.Process.Kill())
	_ = s.process.Wait()
}

func (s *server) client() (kubernetes.Interface, *traffic) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig())
	must(err)
	config.QPS = -1
	if *content == "protobuf" {
		config.ContentType = "application/vnd.kubernetes.protobuf"
		config.AcceptContentTypes = "application/vnd.kubernetes.protobuf"
	}
	seen := &traffic{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { seen.next = next; return seen })
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(config, "informers"))
	must(err)
	return client, seen
}

func ctx() context.Context { return context.Background() }

func eventually(what string, done func() error) {
	until := time.Now().Add(patience)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			fmt.Printf("FAILED: %s: %v\n", what, err)
			os.Exit(1)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func check(holds bool, format string, args ...any) {
	if !holds {
		fmt.Printf("FAILED: "+format+"\n", args...)
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		fmt.Printf("FAILED: %v\n", err)
		os.Exit(1)
	}
}

func ok(what string) { fmt.Println("ok:", what) }
