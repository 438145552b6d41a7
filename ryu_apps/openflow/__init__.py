"""OpenFlow 1.3 as bytes: the few messages Septum sends and reads on its hot paths."""
