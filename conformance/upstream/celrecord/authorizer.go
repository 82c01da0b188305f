package main

import (
	"context"
	"errors"

	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/library"
)

// authorizerValue allows the verb get, denies the verb delete, fails for the verb fail and has no opinion otherwise.
func authorizerValue() ref.Val {
	decide := authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		reason := a.GetUser().GetName() + " " + a.GetAPIGroup() + "/" + a.GetResource() + "/" + a.GetSubresource() + " " + a.GetNamespace() + "/" + a.GetName() + a.GetPath()
		switch a.GetVerb() {
		case "get":
			return authorizer.DecisionAllow, reason, nil
		case "delete":
			return authorizer.DecisionDeny, reason, nil
		case "fail":
			return authorizer.DecisionNoOpinion, "", errors.New("the authorizer fails")
		}
		return authorizer.DecisionNoOpinion, reason, nil
	})
	return library.NewAuthorizerVal(&user.DefaultInfo{Name: "mary", Groups: []string{"staff"}}, decide)
}
