"""Drawings of one connection.  Pure: a model, and text made of it; nothing is printed here.

    Connection, steps, kernel's states --(ladder)--> Ladder --(terminal)--> text, rich Text
                                                            --(svg)-------> a picture

`ladder` knows no drawing, the drawings know no TCP beyond the words that stand in the model.
Whatever comes from a capture or a program passes `escape.visible` before it is drawn.
"""
