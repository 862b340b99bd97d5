// Command manifests reads Kubernetes objects, as YAML, from its input, and judges them as the
// API server would: every field must be one of the object's type, and pods must satisfy the
// pod security standard "restricted". It prints their kinds, a line each.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	disruption "k8s.io/api/policy/v1"
	security "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = judgeAll(string(text))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judgeAll(text string) error {
	for document := range strings.SplitSeq(text, "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			return err
		}
		if err := judge(head.APIVersion+" "+head.Kind, []byte(document)); err != nil {
			return fmt.Errorf("%s: %w", head.Kind, err)
		}
		fmt.Println(head.Kind)
	}
	return nil
}

func judge(kind string, document []byte) error {
	switch kind {
	case "v1 Namespace":
		return yaml.UnmarshalStrict(document, new(core.Namespace))
	case "v1 ConfigMap":
		return yaml.UnmarshalStrict(document, new(core.ConfigMap))
	case "v1 Service":
		return yaml.UnmarshalStrict(document, new(core.Service))
	case "policy/v1 PodDisruptionBudget":
		return yaml.UnmarshalStrict(document, new(disruption.PodDisruptionBudget))
	case "apps/v1 Deployment":
		d := new(apps.Deployment)
		if err := yaml.UnmarshalStrict(document, d); err != nil {
			return err
		}
		return secure(&d.Spec.Template)
	}
	return fmt.Errorf("%q is none of the kinds that this program knows: add it", kind)
}

// secure asks the rules of the admission controller themselves.
func secure(pod *core.PodTemplateSpec) error {
	rules, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	restricted := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	for _, result := range rules.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			return fmt.Errorf("not restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	return nil
}
