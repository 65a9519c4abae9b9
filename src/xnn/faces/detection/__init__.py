"""Where the faces in a photograph are: the MTCNN cascade, its weights shipped in the package."""
