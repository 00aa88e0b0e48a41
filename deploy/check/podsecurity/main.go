// podsecurity FILE...: judges every pod template in rendered manifests by the "restricted" Pod Security Standard, with the
// library that the API server itself uses. Prints what was judged; exit 1 if anything is refused.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/admission"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// judge returns the number of pod templates seen in one file, and of those refused.
func judge(evaluator policy.Evaluator, file string) (seen, refused int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object unstructured.Unstructured
		if err := documents.Decode(&object.Object); errors.Is(err, io.EOF) {
			return seen, refused, nil
		} else if err != nil {
			return seen, refused, fmt.Errorf("%s: %w", file, err)
		}
		typed, err := scheme.Scheme.New(object.GroupVersionKind())
		if err != nil {
			continue // a custom resource: runs no pod of its own
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
			return seen, refused, fmt.Errorf("%s: %s %s: %w", file, object.GetKind(), object.GetName(), err)
		}
		meta, spec, err := admission.DefaultPodSpecExtractor{}.ExtractPodSpec(typed)
		if err != nil || spec == nil {
			continue // has no pod template
		}
		seen++
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, meta, spec))
		if !result.Allowed {
			refused++
			fmt.Printf("%s: %s %s: %s\n", file, object.GetKind(), object.GetName(), result.ForbiddenDetail())
		}
	}
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	seen, refused := 0, 0
	for _, file := range os.Args[1:] {
		if err != nil {
			break
		}
		var s, r int
		s, r, err = judge(evaluator, file)
		seen, refused = seen+s, refused+r
	}
	fmt.Printf("%d pod templates, %d refused by the restricted standard\n", seen, refused)
	if err != nil {
		fmt.Fprintln(os.Stderr, "podsecurity:", err)
	}
	if err != nil || refused > 0 || seen == 0 {
		os.Exit(1)
	}
}
