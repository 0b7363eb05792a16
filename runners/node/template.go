package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	containerName = "quire"     // of the container that runs jobs
	argsPlace     = "{args}"    // element of its args for which the job's arguments stand
	jobLabel      = "quire-job" // label of a Job and its pods: the Job's name
)

// A manifest is the Job of a cluster in the form that the API decodes.
type manifest map[string]any

// templateError is a CheckError about a template.
func (k *kubernetes) templateError(format string, args ...any) error {
	return &CheckError{Node: k.String(), Reason: BadTemplate, Said: fmt.Sprintf(format, args...)}
}

// parse reads the template.
func (k *kubernetes) parse() (manifest, error) {
	d := yaml.NewDecoder(bytes.NewReader(k.template))
	plain := map[string]any{}
	if err := d.Decode(&plain); err != nil {
		return nil, k.templateError("it is no YAML: %v", err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, k.templateError("it has more than one document; apply the others yourself, and leave the Job")
	}
	m := manifest(plain)
	if m["apiVersion"] != "batch/v1" || m["kind"] != "Job" {
		return nil, k.templateError("it is a %v of %v, want a Job of batch/v1", m["kind"], m["apiVersion"])
	}
	pod, err := m.pod()
	if err != nil {
		return nil, k.templateError("%v", err)
	}
	if pod["restartPolicy"] != "Never" {
		return nil, k.templateError("spec.template.spec.restartPolicy is %v, want Never: only then a Job knows the exit codes of its pods, such as 75 of one"+
			" that is preempted", pod["restartPolicy"])
	}
	if _, err := m.container(); err != nil {
		return nil, k.templateError("%v", err)
	}
	return m, nil
}

// section returns the object at a path of keys, which is made where make is set.
func (m manifest) section(create bool, keys ...string) (map[string]any, error) {
	at := map[string]any(m)
	for i, key := range keys {
		next, ok := at[key].(map[string]any)
		switch {
		case ok:
		case at[key] == nil && create:
			next = map[string]any{}
			at[key] = next
		default:
			return nil, fmt.Errorf("%s is missing, or no object", strings.Join(keys[:i+1], "."))
		}
		at = next
	}
	return at, nil
}

// pod returns the spec of the pods.
func (m manifest) pod() (map[string]any, error) { return m.section(false, "spec", "template", "spec") }

// container returns the container that runs jobs.
func (m manifest) container() (map[string]any, error) {
	pod, err := m.pod()
	if err != nil {
		return nil, err
	}
	list, _ := pod["containers"].([]any)
	for _, c := range list {
		if c, ok := c.(map[string]any); ok && c["name"] == containerName {
			return c, nil
		}
	}
	return nil, fmt.Errorf("spec.template.spec.containers has none called %s, which gets the arguments", containerName)
}

// mounts reports whether a path of the pod is on a volume.
func (m manifest) mounts(file string) bool {
	c, err := m.container()
	if err != nil {
		return false
	}
	list, _ := c["volumeMounts"].([]any)
	return slices.ContainsFunc(list, func(v any) bool {
		mount, _ := v.(map[string]any)
		at, _ := mount["mountPath"].(string)
		at = strings.TrimSuffix(path.Clean(at), "/")
		return at != "" && at != "." && (file == at || strings.HasPrefix(file, at+"/"))
	})
}

// fill returns the manifest of a job, in JSON.
func (k *kubernetes) fill(name string, args []string) ([]byte, error) {
	m, err := k.parse()
	if err != nil {
		return nil, err
	}
	for _, keys := range [][]string{{"metadata"}, {"spec", "template", "metadata"}} {
		labels, err := m.section(true, append(keys, "labels")...)
		if err != nil {
			return nil, k.templateError("%v", err)
		}
		labels[jobLabel] = name
	}
	meta, _ := m.section(false, "metadata") // the loop has made it
	meta["name"] = name
	delete(meta, "generateName")
	c, err := m.container()
	if err != nil {
		return nil, k.templateError("%v", err)
	}
	if err := place(c, args); err != nil {
		return nil, k.templateError("%v", err)
	}
	return json.Marshal(m)
}

// place puts the arguments of a job into a container.
func place(c map[string]any, args []string) error {
	given, _ := c["args"].([]any)
	var all []any
	found := c["args"] == nil
	if found {
		given = []any{argsPlace}
	}
	for _, a := range given {
		if a != argsPlace {
			all = append(all, a)
			continue
		}
		found = true
		for _, arg := range args {
			all = append(all, strings.ReplaceAll(arg, "$(", "$$(")) // else Kubernetes puts variables there
		}
	}
	if !found {
		return fmt.Errorf("the container %s has args without the element %q, which says where the arguments go", containerName, argsPlace)
	}
	c["args"] = all
	return nil
}
