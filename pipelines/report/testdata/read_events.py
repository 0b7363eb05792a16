"""Prints the scalars and texts of the event files in a folder as JSON, read by TensorBoard's own loader."""
import json
import sys

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("no tensorboard")
    sys.exit(0)
events = EventAccumulator(sys.argv[1], size_guidance={"tensors": 0, "scalars": 0})
events.Reload()
scalars = {}
for tag in events.Tags()["scalars"]:
    scalars[tag] = [[e.step, e.value] for e in events.Scalars(tag)]
for tag in events.Tags()["tensors"]:  # newer versions turn simple values into tensors
    if events.SummaryMetadata(tag).plugin_data.plugin_name == "text":
        scalars[tag] = [[e.step, e.tensor_proto.string_val[0].decode()] for e in events.Tensors(tag)]
        continue
    scalars[tag] = [[e.step, e.tensor_proto.float_val[0]] for e in events.Tensors(tag)]
print(json.dumps(scalars, sort_keys=True))
