package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const finalizer = "shop.example.com/farewell"

// reconciler keeps as many ConfigMaps as a Shelf is large.
type reconciler struct {
	client.Client
	scheme   *runtime.Scheme
	recorder events.EventRecorder
	runs     atomic.Int64
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r.runs.Add(1)
	var shelf Shelf
	if err := r.Get(ctx, request.NamespacedName, &shelf); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !shelf.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.farewell(ctx, &shelf)
	}
	if controllerutil.AddFinalizer(&shelf, finalizer) {
		if err := r.Update(ctx, &shelf); err != nil {
			return ctrl.Result{}, err
		}
	}
	for i := range shelf.Spec.Size {
		board := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", shelf.Name, i), Namespace: shelf.Namespace}}
		_, err := controllerutil.CreateOrUpdate(ctx, r.Client, board, func() error {
			board.Data = map[string]string{"colour": shelf.Spec.Colour}
			return controllerutil.SetControllerReference(&shelf, board, r.scheme)
		})
		if err != nil {
			return ctrl.Result{}, err
		}
	}
	boards, err := r.boards(ctx, &shelf)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := shelf.DeepCopyObject().(*Shelf)
	shelf.Status.Ready = int32(len(boards))
	meta.SetStatusCondition(&shelf.Status.Conditions, metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Filled", ObservedGeneration: shelf.Generation,
	})
	if err := r.Status().Patch(ctx, &shelf, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, err
	}
	r.recorder.Eventf(&shelf, nil, corev1.EventTypeNormal, "Filled", "Fill", "%d boards", len(boards))
	return ctrl.Result{}, nil
}

// boards are the ConfigMaps of a Shelf, out of the cache.
func (r *reconciler) boards(ctx context.Context, shelf *Shelf) ([]corev1.ConfigMap, error) {
	var all corev1.ConfigMapList
	err := r.List(ctx, &all, client.InNamespace(shelf.Namespace), client.MatchingFields{"owner": string(shelf.UID)})
	return all.Items, err
}

func (r *reconciler) farewell(ctx context.Context, shelf *Shelf) error {
	if !controllerutil.ContainsFinalizer(shelf, finalizer) {
		return nil
	}
	word := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "farewell-" + shelf.Name, Namespace: shelf.Namespace}}
	if err := r.Create(ctx, word); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	controllerutil.RemoveFinalizer(shelf, finalizer)
	return r.Update(ctx, shelf)
}

// operator is one running copy of the operator.
type operator struct {
	reconciler *reconciler
	manager    manager.Manager
	stop       context.CancelFunc
	ended      chan error
}

// run starts a copy; only the copy that leads reconciles.
func run(config *rest.Config, scheme *runtime.Scheme, port int, certificates string) *operator {
	lease, renew, retry := 4*time.Second, 3*time.Second, 500*time.Millisecond
	built, err := manager.New(config, manager.Options{
		Scheme:                        scheme,
		LeaderElection:                true,
		LeaderElectionID:              "shelves.shop.example.com",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		WebhookServer:                 webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: certificates}),
	})
	must(err)
	reconciler := &reconciler{Client: built.GetClient(), scheme: scheme, recorder: built.GetEventRecorder("shelves")}
	must(built.GetFieldIndexer().IndexField(ctx(), &corev1.ConfigMap{}, "owner", func(object client.Object) []string {
		if owner := metav1.GetControllerOf(object); owner != nil {
			return []string{string(owner.UID)}
		}
		return nil
	}))
	twice := true
	must(ctrl.NewControllerManagedBy(built).For(&Shelf{}).Owns(&corev1.ConfigMap{}).
		WithOptions(controller.Options{SkipNameValidation: &twice}).Complete(reconciler))
	must(ctrl.NewWebhookManagedBy(built, &Shelf{}).WithDefaulter(hooks{}).WithValidator(hooks{}).Complete())
	running, stop := context.WithCancel(context.Background())
	copy := &operator{reconciler: reconciler, manager: built, stop: stop, ended: make(chan error, 1)}
	go func() { copy.ended <- built.Start(running) }()
	return copy
}

func (o *operator) end() {
	o.stop()
	must(<-o.ended)
}

func (o *operator) leads() bool {
	select {
	case <-o.manager.Elected():
		return true
	default:
		return false
	}
}
