"""Segments to connections: RFC 9293 as tables, both ends of each connection, what each segment is.

Segment --(tracker)--> Connection: (classify) notes, (states) transitions at both endpoints
"""
