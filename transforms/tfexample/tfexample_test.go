package tfexample

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// exampleType is tf.train.Example as TensorFlow declares it
// (tensorflow/core/example/example.proto and feature.proto).
var exampleType = func() protoreflect.MessageDescriptor {
	const optional, repeated = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	field := func(name string, number int32, label descriptorpb.FieldDescriptorProto_Label, kind descriptorpb.FieldDescriptorProto_Type,
		message string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: &label, Type: &kind}
		if message != "" {
			f.TypeName = proto.String(".tf." + message)
		}
		return f
	}
	const message, text = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_STRING
	oneof := func(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
		f.OneofIndex = proto.Int32(0)
		return f
	}
	list := func(name string, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: []*descriptorpb.FieldDescriptorProto{field("value", 1, repeated, kind, "")}}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("example.proto"), Package: proto.String("tf"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Example"), Field: []*descriptorpb.FieldDescriptorProto{field("features", 1, optional, message, "Features")}},
			{Name: proto.String("Features"), Field: []*descriptorpb.FieldDescriptorProto{field("feature", 1, repeated, message, "Features.FeatureEntry")},
				NestedType: []*descriptorpb.DescriptorProto{{
					Name:    proto.String("FeatureEntry"),
					Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
					Field:   []*descriptorpb.FieldDescriptorProto{field("key", 1, optional, text, ""), field("value", 2, optional, message, "Feature")},
				}}},
			{Name: proto.String("Feature"), OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: proto.String("kind")}},
				Field: []*descriptorpb.FieldDescriptorProto{oneof(field("bytes_list", 1, optional, message, "BytesList")),
					oneof(field("float_list", 2, optional, message, "FloatList")), oneof(field("int64_list", 3, optional, message, "Int64List"))}},
			list("BytesList", descriptorpb.FieldDescriptorProto_TYPE_BYTES),
			list("FloatList", descriptorpb.FieldDescriptorProto_TYPE_FLOAT),
			list("Int64List", descriptorpb.FieldDescriptorProto_TYPE_INT64),
		},
	}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages().ByName("Example")
}()

// decode returns the ids of payload as the protobuf library reads it, and
// whether it is an Example with the one feature ids.
func decode(payload []byte) (ids []int64, ok bool) {
	m := dynamicpb.NewMessage(exampleType)
	if proto.Unmarshal(payload, m) != nil {
		return nil, false
	}
	features := m.Get(exampleType.Fields().ByName("features")).Message()
	entries := features.Get(features.Descriptor().Fields().ByName("feature")).Map()
	k := protoreflect.ValueOfString("ids").MapKey()
	if entries.Len() != 1 || !entries.Has(k) {
		return nil, false
	}
	feature := entries.Get(k).Message()
	list := feature.Descriptor().Fields().ByName("int64_list")
	if !feature.Has(list) {
		return nil, false
	}
	values := feature.Get(list).Message()
	v := values.Get(values.Descriptor().Fields().ByName("value")).List()
	for i := range v.Len() {
		ids = append(ids, v.Get(i).Int())
	}
	return ids, true
}

func TestWidth(t *testing.T) {
	for _, c := range []struct{ vocab, want int }{{1, 1}, {65, 1}, {128, 1}, {129, 2}, {1 << 14, 2}, {1<<14 + 1, 3}, {1114112, 3}, {1 << 21, 3},
		{1<<21 + 1, 4}, {math.MaxInt32, 5}} {
		if got := Width(c.vocab); got != c.want {
			t.Errorf("vocabulary of %d: %d bytes, want %d", c.vocab, got, c.want)
		}
		if last := uint64(c.vocab - 1); protowire.SizeVarint(last) > c.want {
			t.Errorf("id %d does not fit in %d bytes", last, c.want)
		}
	}
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		ids   []int32
		width int
		want  string
	}{
		// What SerializeToString of tensorflow 2.21.0 gives for these ids.
		{[]int32{1, 2, 64}, 1, "0a100a0e0a0369647312071a050a03010240"},
		// In 3 bytes each. TensorFlow 2.21.0 reads 5, 300 from these bytes, by
		// Example.FromString, parse_example, and RaggedFeature alike.
		{[]int32{5, 300}, 3, "0a130a110a03696473120a1a080a06858000ac8200"},
	} {
		got := AppendIDs(nil, c.ids, c.width)
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%v: got %x, want %s", c.ids, got, c.want)
		}
		if ids, ok := decode(got); !ok || fmt.Sprint(ids) != fmt.Sprint(c.ids) {
			t.Errorf("%v: protobuf reads %v", c.ids, ids)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, vocab := range []int{1, 2, 128, 129, 16384, 16385, 1114112} {
		width := Width(vocab)
		for n := range 300 {
			ids := make([]int32, n)
			for i := range ids {
				ids[i] = rand.Int32N(int32(vocab))
			}
			payload := AppendIDs([]byte("x"), ids, width)[1:]
			if len(payload) != Size(n, width) {
				t.Fatalf("%d ids of width %d: %d bytes, Size says %d", n, width, len(payload), Size(n, width))
			}
			got, err := ParseIDs([]int32{7}, payload)
			if err != nil || got[0] != 7 || !slices.Equal(got[1:], ids) {
				t.Fatalf("%d ids of width %d: %v, %v", n, width, got, err)
			}
			if lib, ok := decode(payload); !ok || fmt.Sprint(lib) != fmt.Sprint(ids) {
				t.Fatalf("%d ids of width %d: protobuf reads %v, %v", n, width, lib, ok)
			}
		}
	}
}

func TestDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		id    int32
		width int
	}{{-1, 5}, {128, 1}, {1 << 14, 2}, {math.MinInt32, 5}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("id %d was written in %d bytes", c.id, c.width)
				}
			}()
			AppendIDs(nil, []int32{c.id}, c.width)
		}()
	}
}

// encode writes ids as an Example in one of the many ways that are allowed.
func encode(r *rand.Rand, ids []int32) []byte {
	varint := func(b []byte, v uint64) []byte { // with up to 3 bytes too many
		b = protowire.AppendVarint(b, v)
		for range r.IntN(4) {
			if v>>56 == 0 {
				b[len(b)-1] |= 0x80
				b = append(b, 0)
			}
		}
		return b
	}
	field := func(b []byte, number protowire.Number, body []byte) []byte {
		b = varint(b, protowire.EncodeTag(number, protowire.BytesType))
		b = varint(b, uint64(len(body)))
		return append(b, body...)
	}
	var feature []byte
	for rest := ids; ; {
		n := r.IntN(len(rest) + 1)
		var list []byte
		for _, id := range rest[:n/2] {
			list = varint(varint(list, protowire.EncodeTag(1, protowire.VarintType)), uint64(id))
		}
		var packed []byte
		for _, id := range rest[n/2 : n] {
			packed = varint(packed, uint64(id))
		}
		feature = field(feature, 3, field(list, 1, packed))
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	key := field(nil, 1, []byte("ids"))
	entry := append(slices.Clone(key), field(nil, 2, feature)...)
	if r.IntN(2) == 0 { // the value first
		entry = append(field(nil, 2, feature), key...)
	}
	features := field(nil, 1, entry)
	if r.IntN(3) == 0 { // something before that is replaced
		old := field(slices.Clone(key), 2, field(nil, 3, field(nil, 1, []byte{1, 2, 3})))
		features = append(field(nil, 1, old), features...)
	}
	example := field(nil, 1, features)
	if r.IntN(3) == 0 { // in pieces
		example = field(example, 1, nil)
	}
	return example
}

func TestEveryEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		ids := make([]int32, r.IntN(20))
		for i := range ids {
			ids[i] = int32(r.Uint64N(math.MaxInt32+1)) >> r.IntN(31)
		}
		payload := encode(r, ids)
		lib, ok := decode(payload)
		if !ok || fmt.Sprint(lib) != fmt.Sprint(ids) {
			t.Fatalf("%x: protobuf reads %v, %v, want %v: the test is wrong", payload, lib, ok, ids)
		}
		got, err := ParseIDs(nil, payload)
		if err != nil || !slices.Equal(got, ids) {
			t.Fatalf("%x: got %v, %v, want %v", payload, got, err, ids)
		}
	}
}

func TestRejected(t *testing.T) {
	wrap := func(key, feature string) string {
		entry := "\x0a" + string(rune(len(key))) + key + "\x12" + string(rune(len(feature))) + feature
		features := "\x0a" + string(rune(len(entry))) + entry
		return "\x0a" + string(rune(len(features))) + features
	}
	good := "\x1a\x05\x0a\x03\x01\x02\x03"
	if ids, err := ParseIDs(nil, []byte(wrap("ids", good))); err != nil || len(ids) != 3 {
		t.Fatal(ids, err)
	}
	for _, c := range []struct{ payload, want string }{
		{"", "tfexample: byte 0: there is no feature"},
		{"\x0a\x00", "tfexample: byte 0: there is no feature"},
		{wrap("id", good), `tfexample: byte 4: feature "id"`},
		{wrap("", good), `feature ""`},
		{wrap("ids", good) + wrap("text", good), `feature "text"`},
		{wrap("ids", ""), `feature "ids" is no int64_list`},
		{wrap("ids", "\x12\x06\x0a\x04\x00\x00\x80\x3f"), "Feature has field 2 of wire type 2"},
		{wrap("ids", "\x0a\x03\x0a\x01x"), "Feature has field 1 of wire type 2"},
		{wrap("ids", good) + "\x12\x00", "Example has field 2 of wire type 2"},
		{wrap("ids", "\x1a\x03\x0a\x01\x80"), "byte 15: a number without an end"},
		{wrap("ids", "\x1a\x09\x0d\x01\x02\x03\x04"), "length 9, but 5 bytes are left"},
		{wrap("ids", "\x1a\x05\x0d\x01\x02\x03\x04"), "Int64List has field 1 of wire type 5"},
		{wrap("ids", "\x1a\x0c\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "id -1"},
		{wrap("ids", "\x1a\x07\x0a\x05\x80\x80\x80\x80\x08"), "id 2147483648"},
		{wrap("ids", "\x1a\x0c\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "more than 64 bits"},
		{wrap("ids", good)[:10], "length 16, but 8 bytes are left"},
		{"some text, not an Example", "Example has field 14 of wire type 3"},
	} {
		ids, err := ParseIDs([]int32{7}, []byte(c.payload))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) || len(ids) != 1 {
			t.Errorf("%x: got %v, %v, want %s", c.payload, ids, err, c.want)
		}
	}
}

func FuzzParseIDs(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 20 {
		f.Add(encode(r, make([]int32, n)))
	}
	f.Add(AppendIDs(nil, []int32{0, 1, 2, 1000000}, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		// What is accepted, the protobuf library reads the same, and it comes
		// back from the encoding of our own.
		ids, err := ParseIDs(nil, data)
		if err != nil {
			return
		}
		if lib, ok := decode(data); !ok || fmt.Sprint(lib) != fmt.Sprint(ids) {
			t.Fatalf("%x: got %v, protobuf reads %v, %v", data, ids, lib, ok)
		}
		again, err := ParseIDs(nil, AppendIDs(nil, ids, 5))
		if err != nil || !slices.Equal(again, ids) {
			t.Fatalf("%v came back as %v, %v", ids, again, err)
		}
	})
}

func BenchmarkParseIDs(b *testing.B) {
	for _, vocab := range []int{65, 5000} {
		b.Run(fmt.Sprint(vocab), func(b *testing.B) {
			payload := AppendIDs(nil, someIDs(101, vocab), Width(vocab))
			dst := make([]int32, 0, 101)
			for b.Loop() {
				if _, err := ParseIDs(dst, payload); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(101*float64(b.N)/b.Elapsed().Seconds(), "ids/s")
		})
	}
}

func someIDs(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i * 7919 % vocab)
	}
	return ids
}
