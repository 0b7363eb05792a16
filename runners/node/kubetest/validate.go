package kubetest

import (
	"fmt"
	"slices"
	"strings"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Decode decodes a manifest as the API does: unknown, misspelt and repeated fields are
// errors.
func Decode(data []byte, v any) error {
	j, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(j, v)
	if err == nil && len(strict) > 0 {
		err = fmt.Errorf("strict decoding error: %w", strict[0])
	}
	return err
}

// Validate returns the errors of a Job that the API refuses: those of the fields that
// quire's Jobs and people's templates have.
func Validate(j *batch.Job) error {
	var all []string
	add := func(field, format string, args ...any) { all = append(all, field+": "+fmt.Sprintf(format, args...)) }
	for _, e := range validation.IsDNS1123Subdomain(j.Name) {
		add("metadata.name", "Invalid value: %q: %s", j.Name, e)
	}
	for _, labels := range []map[string]string{j.Labels, j.Spec.Template.Labels} {
		for key, value := range labels {
			for _, e := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
				add("metadata.labels", "Invalid value: %q: %s", key+"="+value, e)
			}
		}
	}
	for field, n := range map[string]*int32{"spec.backoffLimit": j.Spec.BackoffLimit, "spec.ttlSecondsAfterFinished": j.Spec.TTLSecondsAfterFinished} {
		if n != nil && *n < 0 {
			add(field, "Invalid value: %d: must be greater than or equal to 0", *n)
		}
	}
	all = append(all, validatePod(&j.Spec.Template.Spec)...)
	if p := j.Spec.PodFailurePolicy; p != nil {
		all = append(all, validatePolicy(p, &j.Spec.Template.Spec)...)
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return say("The Job %q is invalid: %s", j.Name, strings.Join(all, ", "))
}

func validatePod(s *core.PodSpec) (all []string) {
	const at = "spec.template.spec"
	if s.RestartPolicy != core.RestartPolicyNever && s.RestartPolicy != core.RestartPolicyOnFailure {
		all = append(all, fmt.Sprintf(`%s.restartPolicy: Required value: valid values: "OnFailure", "Never"`, at))
	}
	if len(s.Containers) == 0 {
		all = append(all, at+".containers: Required value")
	}
	volumes := map[string]bool{}
	for _, v := range s.Volumes {
		volumes[v.Name] = true
	}
	for i, c := range s.Containers {
		field := fmt.Sprintf("%s.containers[%d]", at, i)
		for _, e := range validation.IsDNS1123Label(c.Name) {
			all = append(all, fmt.Sprintf("%s.name: Invalid value: %q: %s", field, c.Name, e))
		}
		if c.Image == "" {
			all = append(all, field+".image: Required value")
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				all = append(all, fmt.Sprintf("%s.volumeMounts: Not found: %q", field, m.Name))
			}
		}
		for name, limit := range c.Resources.Limits {
			request, ok := c.Resources.Requests[name]
			extended := strings.Contains(string(name), "/")
			if ok && (request.Cmp(limit) > 0 || extended && request.Cmp(limit) != 0) {
				all = append(all, fmt.Sprintf("%s.resources.requests: Invalid value: %q: must be less than or equal to %s limit of %s", field,
					request.String(), name, limit.String()))
			}
		}
		for name := range c.Resources.Requests {
			if _, ok := c.Resources.Limits[name]; !ok && strings.Contains(string(name), "/") {
				all = append(all, fmt.Sprintf("%s.resources.limits: Required value: Limit must be set for non overcommitable resources", field))
			}
		}
	}
	return all
}

func validatePolicy(p *batch.PodFailurePolicy, s *core.PodSpec) (all []string) {
	if s.RestartPolicy != core.RestartPolicyNever {
		all = append(all, fmt.Sprintf("spec.template.spec.restartPolicy: Invalid value: %q: only %q is supported when podFailurePolicy is specified",
			s.RestartPolicy, core.RestartPolicyNever))
	}
	for i := range p.Rules {
		r, at := &p.Rules[i], fmt.Sprintf("spec.podFailurePolicy.rules[%d]", i)
		if !slices.Contains([]batch.PodFailurePolicyAction{"FailJob", "FailIndex", "Ignore", "Count"}, r.Action) {
			all = append(all, fmt.Sprintf("%s.action: Unsupported value: %q", at, r.Action))
		}
		if (r.OnExitCodes == nil) == (len(r.OnPodConditions) == 0) {
			all = append(all, at+": Invalid value: specifying one of OnExitCodes and OnPodConditions is required")
		}
		for _, c := range r.OnPodConditions {
			if !slices.Contains([]core.ConditionStatus{core.ConditionTrue, core.ConditionFalse, core.ConditionUnknown}, c.Status) {
				all = append(all, fmt.Sprintf("%s.onPodConditions[0].status: Unsupported value: %q", at, c.Status))
			}
		}
		if e := r.OnExitCodes; e != nil {
			all = append(all, validateCodes(e, s, at+".onExitCodes")...)
		}
	}
	return all
}

func validateCodes(e *batch.PodFailurePolicyOnExitCodesRequirement, s *core.PodSpec, at string) (all []string) {
	if e.Operator != batch.PodFailurePolicyOnExitCodesOpIn && e.Operator != batch.PodFailurePolicyOnExitCodesOpNotIn {
		all = append(all, fmt.Sprintf("%s.operator: Unsupported value: %q", at, e.Operator))
	}
	if len(e.Values) == 0 {
		all = append(all, at+".values: Invalid value: at least one value is required")
	}
	if !slices.IsSorted(e.Values) || len(slices.Compact(slices.Clone(e.Values))) != len(e.Values) {
		all = append(all, at+".values: Invalid value: must be ordered, without duplicates")
	}
	if e.Operator == batch.PodFailurePolicyOnExitCodesOpIn && slices.Contains(e.Values, 0) {
		all = append(all, at+".values[0]: Invalid value: 0: must not be 0 for the In operator")
	}
	if n := e.ContainerName; n != nil && !slices.ContainsFunc(s.Containers, func(c core.Container) bool { return c.Name == *n }) {
		all = append(all, fmt.Sprintf("%s.containerName: Invalid value: %q: must be one of the container or initContainer names in the pod template", at, *n))
	}
	return all
}
