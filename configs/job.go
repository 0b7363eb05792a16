package configs

import (
	_ "embed"
	"fmt"
	"os"
)

// shippedJob is the manifest of a Job that trains; it says how to write another.
//
//go:embed deploy/train-job.yaml
var shippedJob []byte

// Job returns the manifest of the Job of a node of KubernetesNode: the file at Template,
// else the shipped one. A relative path begins where the command was started.
func (n *Node) Job() ([]byte, error) {
	if n.Template == "" {
		return shippedJob, nil
	}
	data, err := os.ReadFile(n.Template)
	if err != nil {
		return nil, &Error{Key: "node.template", Reason: fmt.Sprintf("cannot be read: %v; the shipped one is configs/deploy/train-job.yaml", err)}
	}
	return data, nil
}
