package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

const kubernetesDir = "../deploy/kubernetes/"

// manifest is what the tests look at of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     struct {
		Selector map[string]any // of a Service
		Ports    []struct{ TargetPort string }
		Template struct {
			Metadata struct{ Labels map[string]any }
			Spec     struct {
				TerminationGracePeriodSeconds int
				Containers                    []kubernetesContainer
			}
		}
	}
}

type kubernetesContainer struct {
	Image string
	Args  []string
	Ports []struct {
		Name          string
		ContainerPort int
	}
	Env []struct {
		Name      string
		ValueFrom struct{ SecretKeyRef struct{ Name string } }
	}
	StartupProbe, LivenessProbe, ReadinessProbe kubernetesProbe
	VolumeMounts                                []struct{ MountPath string }
}

type kubernetesProbe struct {
	HTTPGet                         struct{ Path, Port string }
	PeriodSeconds, FailureThreshold int
}

// kustomized is what kubectl makes of the folder.
func kustomized(t *testing.T) []byte {
	t.Helper()
	kubectl := testkit.NeedProgram(t, []string{"kubectl"}, "apt-get install kubernetes-client")
	cmd := exec.Command(kubectl, "kustomize", kubernetesDir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, errs.String())
	return out
}

// manifests decodes the objects, by kind.
func manifests(t *testing.T, text []byte) map[string][]manifest {
	t.Helper()
	found := make(map[string][]manifest)
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(document))
		require.NoError(t, err, document)
		var m manifest
		require.NoError(t, json.Unmarshal(raw, &m), document)
		found[m.Kind] = append(found[m.Kind], m)
	}
	return found
}

// kubectl builds the folder, and the objects fit together and the program.
func TestKubernetesManifestsFitTogether(t *testing.T) {
	all := manifests(t, kustomized(t))
	files, err := filepath.Glob(kubernetesDir + "*.yaml")
	require.NoError(t, err)
	var list struct{ Resources []string }
	raw, err := os.ReadFile(kubernetesDir + "kustomization.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &list))
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" {
			require.Contains(t, list.Resources, name)
		}
	}
	require.Len(t, all["Deployment"], 1)
	deployment, configMap := all["Deployment"][0], all["ConfigMap"][0]
	pod := deployment.Spec.Template
	c := pod.Spec.Containers[0]
	require.NotEqual(t, "sluice", c.Image, "the image is named in one place, kustomization.yaml")

	cfg := kubernetesConfig(t, c, configMap.Data)

	// Ports of services and probes are the program's.
	ports := make(map[string]int)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	inside, separate := cfg.HTTPServer.Internal()
	require.True(t, separate)
	require.Equal(t, map[string]int{"streams": cfg.HTTPServer.Port, "internal": 9000}, ports)
	require.Equal(t, ":9000", inside)
	targets := make(map[string]string)
	for _, service := range all["Service"] {
		targets[service.Metadata.Name] = service.Spec.Ports[0].TargetPort
		require.Equal(t, pod.Metadata.Labels, service.Spec.Selector)
	}
	require.Equal(t, map[string]string{"sluice": "streams", "sluice-internal": "internal"}, targets)
	require.True(t, cfg.Health.Enabled)
	require.Equal(t, cfg.Health.HandlerPrefix, c.LivenessProbe.HTTPGet.Path)
	require.Equal(t, cfg.Health.HandlerPrefix, c.StartupProbe.HTTPGet.Path)
	require.Equal(t, "/ready", c.ReadinessProbe.HTTPGet.Path)
	for _, p := range []kubernetesProbe{c.LivenessProbe, c.StartupProbe, c.ReadinessProbe} {
		require.Equal(t, "internal", p.HTTPGet.Port)
	}

	// A pod that goes has the time that the program takes, and is taken out before it turns clients away.
	whole := time.Duration(pod.Spec.TerminationGracePeriodSeconds) * time.Second
	require.Greater(t, whole, cfg.Shutdown.Timeout)
	noticed := time.Duration(c.ReadinessProbe.PeriodSeconds*c.ReadinessProbe.FailureThreshold) * time.Second
	require.Greater(t, cfg.Shutdown.Grace, noticed)
	require.Less(t, cfg.Shutdown.Grace, cfg.Shutdown.Timeout*3/4, "or it is cut short")
	for _, kind := range []string{"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"} {
		require.True(t, slices.ContainsFunc(all[kind], func(m manifest) bool { return m.Metadata.Namespace == all["Namespace"][0].Metadata.Name }), kind)
	}
}

// kubernetesConfig returns the configuration of the pods: its file is where the program looks
// for it, and the check has nothing to say of it with the pods' environment.
func kubernetesConfig(t *testing.T, c kubernetesContainer, data map[string]string) *config.Config {
	t.Helper()
	require.Equal(t, "-c", c.Args[0])
	require.Equal(t, c.VolumeMounts[0].MountPath, path.Dir(c.Args[1]))
	text := data[path.Base(c.Args[1])]
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	for _, v := range c.Env {
		if v.ValueFrom.SecretKeyRef.Name != "" {
			t.Setenv(v.Name, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
		} else if strings.HasPrefix(v.Name, "SLUICE_") {
			t.Setenv(v.Name, "sluice-1")
		}
	}
	out, errs, code := command("checkconfig", "--strict", "-c", file)
	require.Equal(t, 0, code, out)
	require.Empty(t, out+errs)
	cfg, _, err := config.Load(config.Source{Path: file, Dir: t.TempDir(), Environ: os.Environ()})
	require.NoError(t, err)
	return cfg
}
