package workflow

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/quire-ml/quire/runners/store"
)

// Located returns the value of a stage's record, as JSON, with every store.Path in
// it as it lies seen from dir, the folder or URL of the store. Values without a
// store.Path, and those of stages that the pipeline lacks, stay as they are.
func (p *Pipeline) Located(s *StageRecord, dir string) (json.RawMessage, error) {
	for _, n := range p.nodes {
		if n.name == s.Name && len(s.Value) > 0 {
			value, err := n.locate(s.Value, dir)
			if err != nil {
				return nil, fmt.Errorf("workflow: stage %s: value of %s: %w", n.name, n.artifact, err)
			}
			return value, nil
		}
	}
	return s.Value, nil
}

// located is Pipeline.Located for a value of type T.
func located[T any](value json.RawMessage, dir string) (json.RawMessage, error) {
	var v T
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, err
	}
	if !locate(reflect.ValueOf(&v).Elem(), dir) {
		return value, nil
	}
	return json.Marshal(v)
}

var pathType = reflect.TypeFor[store.Path]()

// locate replaces the paths in a value, and reports whether there are any.
func locate(v reflect.Value, dir string) (found bool) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() != pathType || v.Len() == 0 {
			return false
		}
		v.SetString(store.Path(v.String()).In(dir))
		return true
	case reflect.Pointer:
		return !v.IsNil() && locate(v.Elem(), dir)
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() {
				found = locate(field, dir) || found
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			found = locate(v.Index(i), dir) || found
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(key))
			if locate(element, dir) {
				v.SetMapIndex(key, element)
				found = true
			}
		}
	}
	return found
}
