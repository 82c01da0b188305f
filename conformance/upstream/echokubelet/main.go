// A kubelet whose containers are functions of this program: commands, logs and ports echo what they are asked. It
// serves what kube-apiserver passes on with the libraries of upstream's own kubelet and container runtimes, so that
// clients can be led through any API server to it.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/proxy"
	translator "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	"k8s.io/utils/exec"
)

const (
	idle     = 4 * time.Hour
	creation = 30 * time.Second
)

// runtime is what runs in the containers.
type runtime struct{}

func (runtime) ExecInContainer(_ context.Context, _, _, _ string, command []string, in io.Reader, out, errs io.WriteCloser, _ bool, sizes <-chan remotecommand.TerminalSize, _ time.Duration) error {
	switch command[0] {
	case "echo":
		fmt.Fprintln(out, strings.Join(command[1:], " "))
	case "both":
		fmt.Fprintln(out, "to stdout")
		fmt.Fprintln(errs, "to stderr")
	case "cat":
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	case "count":
		count, err := io.Copy(io.Discard, in)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, count)
	case "fill":
		size, _ := strconv.Atoi(command[1])
		line := strings.Repeat("x", 1023) + "\n"
		for ; size > 0; size -= len(line) {
			if _, err := io.WriteString(out, line[:min(size, len(line))]); err != nil {
				return err
			}
		}
	case "size":
		size := <-sizes
		fmt.Fprintf(out, "%dx%d\n", size.Width, size.Height)
	case "exit":
		code, _ := strconv.Atoi(command[1])
		return exec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: code}
	default:
		return fmt.Errorf("exec: %q: executable file not found in $PATH", command[0])
	}
	return nil
}

func (runtime) AttachContainer(_ context.Context, _, _, _ string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	fmt.Fprintln(out, "attached")
	if in != nil {
		_, err := io.Copy(out, in)
		return err
	}
	return nil
}

func (runtime) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("nobody listens on port %d", port)
	}
	defer connection.Close()
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

// containers serves the streams of the runtime, as a container runtime does.
func containers(w http.ResponseWriter, req *http.Request) {
	supported := remotecommand.SupportedStreamingProtocols
	part, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	if part == "portForward" {
		options, err := portforward.NewV4Options(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, req, runtime{}, "pod", "", options, idle, creation, portforward.SupportedProtocols)
		return
	}
	options, err := remotecommand.NewOptions(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if part == "attach" {
		remotecommand.ServeAttach(w, req, runtime{}, "pod", "", "c", options, idle, creation, supported)
		return
	}
	remotecommand.ServeExec(w, req, runtime{}, "pod", "", "c", req.URL.Query()["command"], options, idle, creation, supported)
}

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// streams passes a request for a stream on to the runtime, as the kubelet does.
func streams(runtime string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/refused/") {
			http.Error(w, "pod does not exist", http.StatusNotFound)
			return
		}
		forward := strings.HasPrefix(req.URL.Path, "/portForward/")
		options, err := remotecommand.NewOptions(req)
		if err != nil && !forward {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		to := &url.URL{Scheme: "http", Host: runtime, Path: req.URL.Path, RawQuery: req.URL.RawQuery}
		var handler http.Handler = proxy.NewUpgradeAwareHandler(to, nil, false, true, responder{})
		switch {
		case forward && wsstream.IsWebSocketRequestWithTunnelingProtocol(req):
			handler = translator.NewTunnelingHandler(handler)
		case !forward && wsstream.IsWebSocketRequestWithStreamCloseProtocol(req):
			options := translator.Options{Stdin: options.Stdin, Stdout: options.Stdout, Stderr: options.Stderr, Tty: options.TTY}
			handler = translator.NewStreamTranslatorHandler(to, nil, 0, options)
		}
		handler.ServeHTTP(w, req)
	}
}

// logs says what it was asked, and with follow some lines more, each after a while.
func logs(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	if query.Get("previous") == "true" {
		http.Error(w, "previous terminated container \"c\" in pod \"web\" not found", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "log of %s\n", req.URL.RequestURI())
	for line := 0; query.Get("follow") == "true" && line < 3; line++ {
		w.(http.Flusher).Flush()
		time.Sleep(100 * time.Millisecond)
		fmt.Fprintf(w, "line %d\n", line)
	}
}

// backend is what listens on the port of the pod.
func backend(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/page":
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<html><body><a href="/there">/there</a><IMG src=here><p class='x'>1 &lt; 2</p></body></html>`)
	case "/moved":
		http.Redirect(w, req, "/there", http.StatusFound)
	case "/gone":
		http.Error(w, "gone", http.StatusGone)
	default:
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s %s\n", req.Method, req.RequestURI, body)
		var names []string
		for name := range req.Header {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(req.Header[name], " | "))
		}
	}
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"kubelet"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func listen(address string) (net.Listener, int) {
	listener, err := net.Listen("tcp", address)
	check(err)
	return listener, listener.Addr().(*net.TCPAddr).Port
}

func main() {
	log.SetOutput(io.Discard)
	runtime, _ := listen("127.0.0.1:0")
	go http.Serve(runtime, http.HandlerFunc(containers))
	pod, podPort := listen(":0")
	go http.Serve(pod, http.HandlerFunc(backend))
	kubelet, kubeletPort := listen(":0")
	routes := http.NewServeMux()
	routes.HandleFunc("/containerLogs/", logs)
	for _, path := range []string{"/exec/", "/attach/", "/portForward/"} {
		routes.Handle(path, streams(runtime.Addr().String()))
	}
	routes.HandleFunc("/", backend)
	go func() {
		server := http.Server{Handler: routes, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
		check(server.ServeTLS(kubelet, "", ""))
	}()
	check(json.NewEncoder(os.Stdout).Encode(map[string]int{"kubelet": kubeletPort, "pod": podPort}))
	// It ends with whoever started it.
	io.Copy(io.Discard, os.Stdin)
}
