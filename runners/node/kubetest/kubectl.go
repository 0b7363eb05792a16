package kubetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	batch "k8s.io/api/batch/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// socketVariable makes a process kubectl.
const socketVariable = "KUBETEST_SOCKET"

type call struct {
	Args  []string
	Stdin []byte
}

type reply struct {
	Stdout, Stderr string
	Code           int
}

// A process that a cluster's script starts is kubectl, whatever program it is.
func init() {
	socket := os.Getenv(socketVariable)
	if socket == "" {
		return
	}
	r, err := ask(socket)
	if err != nil {
		r = reply{Stderr: "kubetest: " + err.Error() + "\n", Code: 1}
	}
	fmt.Print(r.Stdout)
	fmt.Fprint(os.Stderr, r.Stderr)
	os.Exit(r.Code)
}

// ask passes the call of this process to the cluster.
func ask(socket string) (r reply, err error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	q := call{Args: os.Args[1:]}
	for i, a := range q.Args {
		if a == "-" && i > 0 && q.Args[i-1] == "-f" {
			if q.Stdin, err = io.ReadAll(os.Stdin); err != nil {
				return r, err
			}
		}
	}
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return r, err
	}
	return r, json.NewDecoder(conn).Decode(&r)
}

// serve answers calls until the listener is closed.
func (c *Cluster) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var q call
			if json.NewDecoder(conn).Decode(&q) != nil {
				return
			}
			out, err := c.do(q)
			r := reply{Stdout: out}
			if err != nil {
				r.Stderr, r.Code = err.Error()+"\n", 1
			}
			_ = json.NewEncoder(conn).Encode(r) // the process may have been killed
		}()
	}
}

// options are the arguments of a call that begin with a dash, by name.
func options(args []string) (words []string, flags map[string]string) {
	flags = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, ok := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(name, "-") || name == "-":
			words = append(words, args[i])
		case ok || name == "--ignore-not-found":
			flags[name] = value
		case i+1 < len(args):
			i++
			flags[name] = args[i]
		}
	}
	return words, flags
}

// said is what kubectl says, word for word.
type said string

func (s said) Error() string { return string(s) }

func say(format string, args ...any) error { return said(fmt.Sprintf(format, args...)) }

// do executes a call.
func (c *Cluster) do(q call) (out string, err error) {
	words, flags := options(q.Args)
	namespace := flags["--namespace"]
	delete(flags, "--namespace")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, strings.Join(q.Args, " "))
	defer c.change.Broadcast()
	if c.down != "" {
		return "", errors.New(c.down)
	}
	if namespace == "" {
		namespace = "default"
	}
	switch verb := strings.Join(words[:min(1, len(words))], ""); verb {
	case "apply":
		return c.apply(namespace, flags, q.Stdin)
	case "get":
		return c.get(namespace, words[1:], flags)
	case "logs":
		return c.logs(namespace, words[1:], flags)
	case "delete":
		return c.delete(namespace, words[1:], flags)
	case "auth":
		return c.canI(words[1:], flags)
	}
	return "", say("error: unknown command %q for %q", strings.Join(words, " "), "kubectl")
}

func (c *Cluster) forbid(verb, resource, namespace string) error {
	if c.may(verb + " " + resource) {
		return nil
	}
	return say("Error from server (Forbidden): %s is forbidden: User %q cannot %s resource %q in API group \"\" in the namespace %q",
		resource, "someone", verb, resource, namespace)
}

func (c *Cluster) apply(namespace string, flags map[string]string, data []byte) (string, error) {
	if flags["-f"] != "-" {
		return "", errors.New("kubetest: apply takes -f - alone")
	}
	if namespace == NoNamespace {
		return "", say("Error from server (NotFound): error when creating \"STDIN\": namespaces %q not found", namespace)
	}
	if err := c.forbid("create", "jobs", namespace); err != nil {
		return "", err
	}
	j := &batch.Job{}
	if err := Decode(data, j); err != nil {
		return "", say("Error from server (BadRequest): error when creating \"STDIN\": Job in version \"v1\" cannot be handled as a Job: %v", err)
	}
	if j.APIVersion != "batch/v1" || j.Kind != "Job" {
		return "", say("error: no matches for kind %q in version %q", j.Kind, j.APIVersion)
	}
	if err := Validate(j); err != nil {
		return "", err
	}
	dry := flags["--dry-run"] == "server"
	suffix := map[bool]string{true: " (server dry run)"}[dry]
	key := namespace + "/" + j.Name
	if old := c.jobs[key]; old != nil {
		if !reflect.DeepEqual(old.Spec.Template, j.Spec.Template) || !reflect.DeepEqual(old.Spec.PodFailurePolicy, j.Spec.PodFailurePolicy) {
			return "", say("The Job %q is invalid: spec.template: Invalid value: core.PodTemplateSpec{…}: field is immutable", j.Name)
		}
		return "job.batch/" + j.Name + " unchanged" + suffix + "\n", nil
	}
	if dry {
		return "job.batch/" + j.Name + " created" + suffix + "\n", nil
	}
	j.Namespace, j.CreationTimestamp = namespace, meta.NewTime(time.Now())
	made := &job{Job: j, done: make(chan struct{})}
	c.jobs[key] = made
	go c.control(made)
	return "job.batch/" + j.Name + " created\n", nil
}

func (c *Cluster) get(namespace string, words []string, flags map[string]string) (string, error) {
	if flags["-o"] != "json" {
		return "", errors.New("kubetest: get takes -o json alone")
	}
	items := []any{}
	for _, resource := range strings.Split(strings.Join(words, " "), ",") {
		if err := c.forbid("list", resource, namespace); err != nil {
			return "", err
		}
		switch resource {
		case "jobs":
			for _, j := range c.jobs {
				if j.Namespace == namespace && meets(flags["-l"], j.Labels) {
					items = append(items, j.Job.DeepCopy())
				}
			}
		case "pods":
			for _, j := range c.jobs {
				for _, p := range j.pods {
					if j.Namespace == namespace && meets(flags["-l"], p.Labels) {
						items = append(items, p.Pod.DeepCopy())
					}
				}
			}
		case "events":
			for _, e := range c.events {
				if flags["--field-selector"] == "involvedObject.name="+e.InvolvedObject.Name+",type=Warning" {
					items = append(items, e)
				}
			}
		default:
			return "", say("error: the server doesn't have a resource type %q", resource)
		}
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	return string(data) + "\n", err
}

// meets reports whether labels meet a selector of one label.
func meets(selector string, labels map[string]string) bool {
	key, value, ok := strings.Cut(selector, "=")
	return selector == "" || ok && labels[key] == value
}

func (c *Cluster) logs(namespace string, words []string, flags map[string]string) (string, error) {
	if err := c.forbid("get", "pods/log", namespace); err != nil {
		return "", err
	}
	for _, j := range c.jobs {
		for _, p := range j.pods {
			if len(words) != 1 || p.Name != words[0] {
				continue
			}
			if p.lost {
				return "", say("Error from server (NotFound): the node of pod %q is gone", p.Name)
			}
			lines := strings.SplitAfter(p.log.String(), "\n")
			if n, err := strconv.Atoi(flags["--tail"]); err == nil {
				lines = lines[max(0, len(lines)-n-1):]
			}
			return strings.Join(lines, ""), nil
		}
	}
	return "", say("Error from server (NotFound): pods %q not found", strings.Join(words, " "))
}

func (c *Cluster) delete(namespace string, words []string, flags map[string]string) (string, error) {
	if len(words) != 2 || words[0] != "job" {
		return "", errors.New("kubetest: delete takes one job alone")
	}
	if err := c.forbid("delete", "jobs", namespace); err != nil {
		return "", err
	}
	key := namespace + "/" + words[1]
	if c.jobs[key] == nil {
		if _, ok := flags["--ignore-not-found"]; ok {
			return "", nil
		}
		return "", say("Error from server (NotFound): jobs.batch %q not found", words[1])
	}
	if flags["--cascade"] == "foreground" && flags["--wait"] != "false" {
		c.remove(key)
	} else {
		go c.set(func() { c.remove(key) })
	}
	return fmt.Sprintf("job.batch %q deleted\n", words[1]), nil
}

// canI answers auth can-i.
func (c *Cluster) canI(words []string, flags map[string]string) (string, error) {
	if len(words) != 3 || words[0] != "can-i" {
		return "", errors.New("kubetest: auth takes can-i alone")
	}
	what := words[1] + " " + words[2]
	if sub := flags["--subresource"]; sub != "" {
		what += "/" + sub
	}
	if !c.may(what) {
		return "no\n", said("")
	}
	return "yes\n", nil
}
