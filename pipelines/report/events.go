package report

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// EventsPrefix starts the names of a run's TensorBoard event files.
const EventsPrefix = "events.out.tfevents."

// EventsName returns the name of the TensorBoard event file of an epoch.
// TensorBoard reads the event files of a folder in the order of their names.
func EventsName(epoch int) string { return fmt.Sprintf(EventsPrefix+"%010d.quire", epoch) }

// WriteEvents writes the lines of the last line's epoch as a TensorBoard event file:
// scalars loss/train, loss/epoch, loss/validation, chars_per_second, learning_rate
// and gradient_norm, and the text sample. All lines must be durable. The wall time of a
// line without a time is that of the line before, or of OpenMetrics. The memory does
// not grow with the lines.
func (m *Metrics) WriteEvents(ctx context.Context) error {
	name := EventsName(m.epoch)
	old, err := m.st.Stat(ctx, name) // without an object the generation is empty
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		return err
	}
	w, err := m.st.CreateSwap(ctx, name, old.Generation)
	if err != nil {
		return err
	}
	defer w.Abort()
	b := bufio.NewWriterSize(w, copyBytes)
	if _, err := b.Write(tfrecord.AppendFrame(nil, encodeVersion())); err != nil {
		return err
	}
	var frame []byte
	now := float64(m.opened.UnixMicro()) / 1e6
	err = readLines(ctx, m.st, m.at(m.begin), func(l Line, _ position) error {
		now = cmp.Or(l.Time, now)
		l.Time = now
		frame = tfrecord.AppendFrame(frame[:0], encodeEvent(l))
		_, err := b.Write(frame)
		return err
	})
	if err = errors.Join(err, b.Flush()); err != nil {
		return err
	}
	_, err = w.Commit()
	return err
}

// Field numbers of tensorflow.Event, tensorflow.Summary and the messages in its
// Value (event.proto, summary.proto, tensor.proto).
const (
	eventWallTime = 1 // double, seconds
	eventStep     = 2 // int64
	eventVersion  = 3 // string, in a file's first event
	eventSummary  = 5
	summaryValue  = 1
	valueTag      = 1 // string
	valueSimple   = 2 // float
	valueTensor   = 8
	valueMetadata = 9

	metadataPlugin = 1
	pluginName     = 1 // string
	metadataClass  = 4 // enum
	classTensor    = 2 // a value of metadataClass
	tensorType     = 1 // enum
	typeString     = 7 // a value of tensorType
	tensorShape    = 2 // empty for a scalar
	tensorStrings  = 8 // bytes
)

// encodeVersion returns the first event of a file.
func encodeVersion() []byte {
	version := protowire.AppendTag(nil, eventVersion, protowire.BytesType)
	return protowire.AppendString(version, "brain.Event:2")
}

func encodeEvent(l Line) []byte {
	var summary []byte
	for _, v := range []struct {
		tag   string
		value *float64
	}{
		{"loss/train", l.Train}, {"loss/epoch", l.EpochTrain}, {"loss/validation", l.Validation}, {"chars_per_second", l.PerSecond},
		{"learning_rate", l.LR}, {"gradient_norm", l.GradientNorm},
	} {
		if v.value == nil {
			continue
		}
		value := protowire.AppendTag(nil, valueTag, protowire.BytesType)
		value = protowire.AppendString(value, v.tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(*v.value)))
		summary = appendMessage(summary, summaryValue, value)
	}
	if l.Sample != "" {
		summary = appendMessage(summary, summaryValue, encodeText("sample", l.Sample))
	}
	event := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	event = protowire.AppendFixed64(event, math.Float64bits(l.Time))
	event = protowire.AppendTag(event, eventStep, protowire.VarintType)
	event = protowire.AppendVarint(event, uint64(l.Step))
	return appendMessage(event, eventSummary, summary)
}

// encodeText returns a value of a summary that TensorBoard shows as text.
func encodeText(tag, text string) []byte {
	plugin := appendMessage(nil, pluginName, []byte("text"))
	metadata := appendMessage(nil, metadataPlugin, plugin)
	metadata = protowire.AppendTag(metadata, metadataClass, protowire.VarintType)
	metadata = protowire.AppendVarint(metadata, classTensor)
	tensor := protowire.AppendTag(nil, tensorType, protowire.VarintType)
	tensor = protowire.AppendVarint(tensor, typeString)
	tensor = appendMessage(tensor, tensorShape, nil)
	tensor = appendMessage(tensor, tensorStrings, []byte(text))
	value := appendMessage(nil, valueTag, []byte(tag))
	value = appendMessage(value, valueTensor, tensor)
	return appendMessage(value, valueMetadata, metadata)
}

// appendMessage appends a field that holds a message or text.
func appendMessage(to []byte, field protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), data)
}
