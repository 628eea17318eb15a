"""Segments to connections: RFC 9293 as tables, both ends of each connection, what each segment is.

Segment --(tracker)--> Connection: (classify) notes, (walk) transitions at both endpoints

states     the machine as a table            endpoint   one side: what it sent, its state
notes      the words for a segment           facts      the words for a connection, its segments
classify   which of them a segment is        connection what is remembered of all of them
walk       the machine, segment by segment   zeek       Zeek's conn_state and history
tracker    one four-tuple, several lives     transcript a conversation in the notation
"""
