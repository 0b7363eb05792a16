"""Writes golden.tfrecord beside this file with TensorFlow's own writer.

Made with tensorflow 2.21.0, protobuf 7.36.2 (upb), Python 3.11.
"""
import pathlib

import tensorflow as tf


def example(values):
    ints = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Example(features=tf.train.Features(feature={"ids": ints})).SerializeToString()


with tf.io.TFRecordWriter(str(pathlib.Path(__file__).with_name("golden.tfrecord"))) as w:
    for payload in (example([1, 2, 64]), b"", example(range(5))):
        w.write(payload)
